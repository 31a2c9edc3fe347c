"""JSON for people to read, indented where that keeps it small: indenting can make hostile JSON a hundred times as long."""

import msgspec

INDENT_UP_TO_BYTES = 32 * 1024
MOST_TIMES = 8  # as long as it was


def pretty(raw: bytes) -> str:
    """Strict JSON text, on many lines or, where that would be too many, on one."""
    text = msgspec.json.format(raw, indent=-1)
    if len(text) <= INDENT_UP_TO_BYTES:
        indented = msgspec.json.format(text, indent=2)
        if len(indented) <= MOST_TIMES * max(len(text), 64):
            return indented.decode()
    return text.decode()
