"""Results of steps that are bytes and larger than any other value: kept in parts beside the journal.

The journal holds what stands for them, `{"$stored_bytes": {"size": N, "sha256": "…"}}`. No value that code returns is
encoded like that (a dict with one key that begins with "$" is wrapped, see values.py), and the engine takes it from a
worker only for parts that it has stored (engine/bindings/step_bytes.py). All parts but the last have `PART_BYTES`.
"""

from typing import Any

STORED_BYTES = "$stored_bytes"
PART_BYTES = 512 * 1024  # in base64 it is less than any other value may be
_SIZE_MOST = 2**40


def stand_in(size: int, sha256: str) -> dict[str, Any]:
    """What stands for bytes in the journal. `sha256` is in hexadecimal digits."""
    return {STORED_BYTES: {"size": size, "sha256": sha256}}


def stored_size(tree: Any) -> int | None:
    """The size of the bytes that an encoded value stands for, or None: it is a value itself."""
    if not isinstance(tree, dict) or STORED_BYTES not in tree or len(tree) != 1:
        return None
    inner = tree[STORED_BYTES]
    size = inner.get("size") if isinstance(inner, dict) else None
    is_size = isinstance(size, int) and not isinstance(size, bool) and 0 < size <= _SIZE_MOST
    return size if is_size else None


def part_count(size: int) -> int:
    """In how many parts so many bytes are kept."""
    return -(-size // PART_BYTES)


def part_size(size: int, number: int) -> int:
    """The size of part `number` (from 0) of `size` bytes."""
    return min(PART_BYTES, size - number * PART_BYTES)
