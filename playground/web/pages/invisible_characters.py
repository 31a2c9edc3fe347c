"""Characters that make text look like other text than it is: control characters, and those that turn the direction of
writing ("Trojan Source", CVE-2021-42574). Where readers are to judge what a stranger wrote, they are shown as signs.
The editor does the same (`highlightSpecialChars`).
"""

_KEPT = "\t\n\r"
_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SIGNS = (
    {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT}
    | {0x7F: "\u2421"}
    | dict.fromkeys((*range(0x80, 0xA0), *_DIRECTIONS), "\ufffd")
)


def shown(text: str) -> str:
    """The text with a sign in the place of each such character, so that it has as many as before."""
    return text.translate(_SIGNS)
