"""How deep JSON text is nested, told without parsing it: deep enough text overflows parsers and all that walks what they give."""

import itertools

_LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def depth(data: bytes) -> int:
    """Levels of arrays and objects. Text that is no JSON gives a number all the same."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(data.split(b'"')[::2])
    ups_and_downs = memoryview(outside_strings.translate(_LEVELS, _NOT_BRACKETS)).cast("b")
    return max(itertools.accumulate(ups_and_downs), default=0)


def deeper_than(data: bytes, most: int) -> bool:
    """Whether it is nested more than `most` levels deep."""
    return data.count(b"[") + data.count(b"{") > most and depth(data) > most
