"""Writes generated parts into a document: each stands between `<!-- name -->`, or `<!-- name argument -->`, and
`<!-- end -->`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

Maker = Callable[[str], str]  # from the argument of a marker, "" without one, to the text below it

_PART = re.compile(r"(<!-- (\w+)(?: (\w+))? -->)\n.*?(<!-- end -->)", re.DOTALL)


def written(text: str, makers: Mapping[str, Maker]) -> str:
    """The document with its generated parts made anew.

    Args:
        text: the document.
        makers: what makes a part, by the name in its marker.

    Raises:
        KeyError: a marker has a name that no maker has.
    """
    return _PART.sub(lambda found: f"{found[1]}\n{makers[found[2]](found[3] or '')}\n{found[4]}", text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a `|` in a cell is escaped. A column that is empty in every row is left out."""
    body = [[text.replace("|", "\\|") for text in row] for row in rows]
    filled = [index for index in range(len(head)) if any(row[index] for row in body)]
    first, *rest = [f"| {' | '.join(line[index] for index in filled)} |" for line in (head, *body)]
    return "\n".join([first, "|" + "---|" * len(filled), *rest])
