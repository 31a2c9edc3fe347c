"""Values of the tables that are not journals, the same in every database."""

from collections.abc import Sequence
from typing import Any

import msgspec

from playground.store.encoding import decode
from playground.store.snippets import make_snippet
from playground.store.tables import EffectRow, NewVersion, Version
from playground.workflows.names import MAIN_WORKFLOW

LAST_CHARACTER = "\U0010ffff"


def version_id(new: NewVersion, number: int | None = None) -> str:
    """The content hash of a version; with its number where the tenant has, or had, one of the same content."""
    words = [new.class_name]
    if new.workflow != MAIN_WORKFLOW:  # whose versions had their ids before there were others
        words.append(f"{new.workflow}:")
    if number is not None:
        words.append(str(number))
    return make_snippet(new.source, " ".join(words), 0).id


def new_version(new: NewVersion, number: int, id: str, at: int) -> Version:
    """The version that a deployment makes."""
    rest = (new.warm, new.workflow, new.limits, new.retention, new.tool)
    return Version(number, id, new.source, new.class_name, at, *rest)


def version_options(new: NewVersion) -> str | None:
    """What else was deployed with the code, as JSON; None: nothing."""
    options = {"limits": new.limits, "retention": new.retention, "tool": new.tool}
    told = {name: dict(option) for name, option in options.items() if option}
    return msgspec.json.encode(told).decode() if told else None


def version_row(row: Sequence[Any]) -> Version:
    """From a row of the columns number, id, source, class_name, created_at, warm, workflow and options."""
    number, id, source, class_name, created_at, warm, workflow, options = row
    kept = {} if options is None else msgspec.json.decode(options)
    text = source.decode() if isinstance(source, bytes) else source
    limits, retention, tool = (kept.get(name, {}) for name in ("limits", "retention", "tool"))
    return Version(number, id, text, class_name, created_at, bool(warm), workflow, limits, retention, tool)


def effect_row(row: Sequence[Any]) -> EffectRow:
    """From a row of `effects`."""
    number, at, kind, key, data, step, attempt, execution, asked = row
    return EffectRow(number, at, kind, key, decode(data), step, attempt, execution, asked)


def prefix_end(prefix: str) -> str:
    """The first text, in the database's order, after all texts that start with `prefix`."""
    kept = prefix.rstrip(LAST_CHARACTER)
    if not kept:
        return LAST_CHARACTER * 300
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if code == 0xD800 else code)


def is_new_version(outcome: tuple[Version, bool] | str) -> bool:
    """Whether a deployment has made a version."""
    return not isinstance(outcome, str) and outcome[1]
