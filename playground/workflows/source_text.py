"""Source text as Python's parser takes it: without the mark that some editors put first, in lines as it counts."""

import re

BYTE_ORDER_MARK = "\ufeff"
CLASS_NAME = "TenantWorkflow"  # of the class that runs, unless said otherwise
_LINE_END = re.compile(
    r"\r\n|\r|\n"
)  # not the ten characters of str.splitlines: a form feed or U+2028 ends no line of code


def without_mark(source: str) -> str:
    """The source without the one byte order mark that it may begin with: Python drops it from files, not from text."""
    return source.removeprefix(BYTE_ORDER_MARK)


def lines(source: str) -> list[str]:
    """The lines of a source, without their ends, as the parser counts them; an end at the very end begins none."""
    found = _LINE_END.split(source)
    return found[:-1] if found[-1] == "" else found


def with_ends(source: str) -> list[str]:
    """The same with a newline at the end of each, as `linecache` keeps a file."""
    return [f"{line}\n" for line in lines(source)]
