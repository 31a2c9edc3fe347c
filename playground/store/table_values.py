"""Values of the tables that are not journals, the same in every database."""

from collections.abc import Sequence
from typing import Any

from playground.store.encoding import decode
from playground.store.snippets import make_snippet
from playground.store.tables import EffectRow

LAST_CHARACTER = "\U0010ffff"


def version_id(source: str, class_name: str) -> str:
    """The content hash of a version."""
    return make_snippet(source, class_name, 0).id


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
