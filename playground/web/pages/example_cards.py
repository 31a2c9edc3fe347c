"""The examples as pages list them: each with the marks of its picture, which are drawn from the outline of its code.

They are the same for every reader as long as the process lives, so they are put together once: 14 checks read from
what the checker remembers, and their marks drawn, took 1.3 ms of every page.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from playground.engine import Engine
from playground.examples import Example
from playground.web.indented_json import pretty, untagged
from playground.web.pages import example_timeline
from playground.workflows.errors import WorkflowError


@dataclass(slots=True)
class ExampleCards:
    """What pages and the API show of the examples."""

    engine: Engine
    examples: Mapping[str, Example]
    _whole: list[dict[str, Any]] | None = None

    async def all(self) -> list[dict[str, Any]]:
        """Every example, in order.

        One whose outline can't be had, because no worker is free, is without marks this once.
        """
        if self._whole is not None:
            return self._whole
        outlines = [await self._outline(it) for it in self.examples.values()]
        cards = [
            example_json(it) | {"params": params_text(it.params), "marks": example_timeline.marks(outline, it.tasks)}
            for it, outline in zip(self.examples.values(), outlines, strict=True)
        ]
        if None not in outlines:
            self._whole = cards
        return cards

    @property
    def complete(self) -> bool:
        """Whether every picture is drawn, so that nothing will change."""
        return self._whole is not None

    async def _outline(self, example: Example) -> list[dict[str, Any]] | None:
        try:
            return list((await self.engine.check(example.source)).outline)
        except WorkflowError:
            return None


def example_json(example: Example) -> dict[str, Any]:
    """An example as lists of them show it; `source` is left to its own address."""
    shown = dataclasses.asdict(example)
    del shown["source"], shown["order"]
    return shown | {"url": f"/examples/{example.slug}"}


def params_text(value: Any) -> str:
    """Params as the editor shows them; nothing for none."""
    return "" if value is None else pretty(msgspec.json.encode(untagged(value, dicts=True)))
