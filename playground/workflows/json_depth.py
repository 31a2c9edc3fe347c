"""How deep JSON text is nested, told without parsing it: deep enough text overflows parsers and all that walks what
they give.
"""

import itertools

PIECE = 16 * 1024  # a megabyte of short strings, taken apart at once, is 100,000 objects

_LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def depth(data: bytes, piece: int = PIECE, most: int | None = None) -> int:
    """Levels of arrays and objects, `piece` bytes looked at in one go.

    Text that is no JSON gives a number all the same.

    Past `most` levels no further is looked.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    deepest = level = 0
    outside = True  # of a string
    for begin in range(0, len(data), piece):
        parts = data[begin : begin + piece].split(b'"')
        ups_and_downs = memoryview(b"".join(parts[0 if outside else 1 :: 2]).translate(_LEVELS, _NOT_BRACKETS)).cast(
            "b"
        )
        deepest = max(deepest, max(itertools.accumulate(ups_and_downs, initial=level)))
        if most is not None and deepest > most:
            break
        level += sum(ups_and_downs)
        outside ^= len(parts) % 2 == 0
    return deepest


def deeper_than(data: bytes, most: int) -> bool:
    """Whether it is nested more than `most` levels deep."""
    return data.count(b"[") + data.count(b"{") > most and depth(data, most=most) > most
