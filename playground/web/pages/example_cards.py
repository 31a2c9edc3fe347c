"""The examples as pages list them: each with a small timeline, in the marks of the real one.

It shows what runs, sleeps and waits, and where the lesson kills the worker: rectangles and lines in a box of WIDTH by
HEIGHT, drawn from the outline that the check of the code gives. Examples are the same for every reader as long as the
process lives, so they are put together once: 14 checks read from what the checker remembers, and their marks drawn,
took 1.3 ms of every page.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from playground.engine import Engine
from playground.examples import Example
from playground.web.indented_json import indent_json, untag_value
from playground.workflows.errors import WorkflowError

WIDTH, HEIGHT = 272, 48
ROW = 11  # from one bar to the next under it
BAR = 7
GAP = 4
STEP, LONG, CUT_STEP = 44, 96, 92  # widths of a step, of a sleep or wait, and of a step that loses its worker
COLUMNS_MAX = 9
ROWS_MAX = 4
SCALE_MAX = 1.5
BAR_LENGTHS = (1, 0.8, 0.92, 0.7)  # lengths of bars side by side


@dataclass(slots=True)
class ExampleCards:
    """What pages and the API show of the examples."""

    engine: Engine
    examples: Mapping[str, Example]
    _cards: list[dict[str, Any]] | None = None

    async def list_cards(self) -> list[dict[str, Any]]:
        """Every example, in order.

        One whose outline can't be had, because no worker is free, is without marks this once.
        """
        if self._cards is not None:
            return self._cards
        outlines = [await self._outline(it) for it in self.examples.values()]
        cards = [
            example_json(it) | {"params": params_text(it.params), "marks": marks(outline, it.tasks)}
            for it, outline in zip(self.examples.values(), outlines, strict=True)
        ]
        if None not in outlines:
            self._cards = cards
        return cards

    @property
    def is_complete(self) -> bool:
        """Whether every picture is drawn, so that nothing will change."""
        return self._cards is not None

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
    return "" if value is None else indent_json(msgspec.json.encode(untag_value(value, dicts=True)))


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark: `do`, `sleep`, `wait`, `lost` and `fail` are bars, `cut`, `gap` and `back` lines.

    Lengths are those of the box.
    """

    kind: str
    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class _Column:
    rows: tuple[tuple[str, str], ...]  # (kind, name) of what runs side by side


def marks(outline: Sequence[Mapping[str, Any]] | None, tasks: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """The marks of an example; none without an outline."""
    columns = list(_columns(outline or ()))[:COLUMNS_MAX]
    if not columns:
        return []
    kill: Mapping[str, Any] = next((task for task in tasks if task["do"] == "kill-worker"), {})
    during, between, undoing = kill.get("during"), kill.get("between"), kill.get("undoing")
    at = next((place for place, column in enumerate(columns) if _has_step(column, during or between)), None)
    widths = [_column_width(column, place == at) for place, column in enumerate(columns)]
    back = len(columns) - 1 if undoing else 0
    scale = min(WIDTH / (sum(widths) + GAP * len(widths) + back * STEP), SCALE_MAX)
    deepest = max(len(column.rows) for column in columns)
    fall = max(0.0, min(12.0, (37 - ROW * (deepest - 1)) / max(len(columns) - 1, 1))) if deepest < 3 else 0.0
    drawn: list[Mark] = []
    tops, x = [], 0.0
    for place, column in enumerate(columns):
        top = 2 + fall * place + (ROW if deepest > 2 and len(column.rows) == 1 and place else 0)
        tops.append(top)
        width = widths[place] * scale
        for row, (kind, _) in enumerate(column.rows):
            y, long = top + ROW * row, width * BAR_LENGTHS[row]
            if place == at:
                drawn += _cut_bar(kind, x, y, width, after=long, between=bool(between))
            else:
                drawn.append(Mark("fail" if undoing and place == len(columns) - 1 else kind, x, y, long))
        if place == at:
            drawn.append(Mark("cut", x + width * 0.5, 0, HEIGHT))
        x += width + GAP * scale
    for turn, top in enumerate(reversed(tops[:-1]) if undoing else ()):
        drawn.append(Mark("back", x + turn * STEP * scale, top + BAR / 2, STEP * scale * 0.85))
    return [Mark(mark.kind, round(mark.x, 2), round(mark.y, 2), round(mark.width, 2)) for mark in drawn]


def _columns(items: Sequence[Mapping[str, Any]]) -> Iterator[_Column]:
    for item in items:
        inner = item.get("children") or []
        if item["kind"] == "parallel":
            rows = [(_bar_kind(one["kind"]), one.get("name") or "") for one in inner] or [("do", "")]
            yield _Column(tuple((rows * 3 if len(rows) == 1 else rows)[:ROWS_MAX]))
        elif item["kind"] == "loop":
            yield from [*_columns(inner), *_columns(inner)]
        elif item["kind"] == "branch":
            yield from _columns(inner[:1])
        else:
            yield _Column(((item["kind"], item.get("name") or ""),))


def _bar_kind(kind: str) -> str:
    return kind if kind in ("sleep", "wait") else "do"


def _has_step(column: _Column, name: str | None) -> bool:
    """Whether a step of this name runs in the column; a name made at run time is known by how it begins."""
    return name is not None and any(
        name == known or ("{" in known and name.startswith(known.partition("{")[0])) for _, known in column.rows
    )


def _column_width(column: _Column, cut: bool) -> int:
    does = any(kind == "do" for kind, _ in column.rows)
    return LONG if not does else CUT_STEP if cut else STEP


def _cut_bar(kind: str, x: float, y: float, width: float, *, after: float, between: bool) -> list[Mark]:
    """A bar whose worker dies in the middle of `width`: lost and begun again, or, between two attempts, a gap that the
    cut falls into.
    """
    if kind != "do":
        return [Mark(kind, x, y, width)]
    if between:
        third = width / 3
        return [
            Mark("fail", x, y, third),
            Mark("gap", x + third, y + BAR / 2, third),
            Mark("do", x + 2 * third, y, third),
        ]
    return [Mark("lost", x, y, width * 0.47), Mark("do", x + width * 0.53, y, after * 0.47)]
