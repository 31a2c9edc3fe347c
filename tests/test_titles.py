"""The name of a workflow is the first line of its docstring: the page and the server read the same one, and the page
writes it so that it is read again.
"""

import ast

import pytest
from page_code_support import node

from playground.workflows.titles import title_of

LONG = "A name " * 12
CASES = {
    "a docstring": ('"""Invoices, November"""\nimport x\n', "Invoices, November"),
    "its first line": ('"""Invoices\n\nMore of it.\n"""\n', "Invoices"),
    "on the second line": ('"""\n  Invoices  \nMore."""\n', "Invoices"),
    "without its full stop": ("'''Sends invoices.'''\n", "Sends invoices"),
    "an ellipsis stays": ('"Wait..."\n', "Wait..."),
    "one quote": ("'Invoices'  # of November\n", "Invoices"),
    "raw": ('r"""Invoices"""\n', "Invoices"),
    "after comments": ("#!/usr/bin/env python\n\n  # of mine\n'Invoices'\n", "Invoices"),
    "after a byte order mark": ('\ufeff"Invoices"\n', "Invoices"),
    "lines that end in CR LF": ('# x\r\n"""Invoices\r\n"""\r\n', "Invoices"),
    "quotes within": ('"""The "big" one"""\n', 'The "big" one'),
    "an escaped quote": ('"The \\"big\\" one"\n', 'The \\"big\\" one'),
    "cut": (f'"""{LONG}"""\n', ("A name " * 12)[:59].rstrip() + "…"),
    "without control characters": ('"""In\x1bvoi\u202eces"""\n', "In voi ces"),
    "none": ("import x\n", None),
    "empty": ('"""  \n """\n', None),
    "no code": ("", None),
    "never closed": ('"""Invoices\n', None),
    "one quote over two lines": ('"Invoices\n"\n', None),
    "an expression": ('"Invoices" + x\n', None),
    "bytes": ('b"Invoices"\n', None),
    "an f-string": ('f"Invoices"\n', None),
    "indented": ('  "Invoices"\n', None),
    "a backslash at the end": ('"Invoices\\', None),
}


@pytest.mark.parametrize(("source", "name"), CASES.values(), ids=CASES)
def test_the_server_reads_it(source: str, name: str | None) -> None:
    assert title_of(source) == name


def test_the_page_reads_the_same() -> None:
    read = node(
        'import { nameIn } from "RUN/../names.js";\nreturn given.map(nameIn);', [source for source, _ in CASES.values()]
    )
    assert dict(zip(CASES, read, strict=True)) == {case: name for case, (_, name) in CASES.items()}


def test_reading_takes_time_that_grows_with_the_code_only() -> None:
    assert title_of('"""' + '\\"' * 500_000) is None
    assert title_of("#\n" * 500_000 + '"Invoices"') == "Invoices"


NAMES = ["Release of films", 'The "big" one"', "It's mine", 'a """ b', "back\\slash", "Überweisung 💸", " x\ny "]
CODE = "import x\n"


def test_what_the_page_writes_is_read_again_and_leaves_the_rest_as_it_was() -> None:
    sources = [source for source, _ in CASES.values() if source.strip() and "never" not in source] + [CODE]
    written = node(
        """
        import { edited, nameIn, renaming } from "RUN/../names.js";
        const rename = (source, name) => edited(source, renaming(source, name));
        return given.sources.flatMap((source) => given.names.map((name) => [source, name, rename(source, name)]));
        """,
        {"sources": sources, "names": NAMES},
    )
    read = {'The "big" one"': 'The "big" one', 'a """ b': "a b", "back\\slash": "back slash", " x\ny ": "x y"}
    for source, name, renamed in written:
        if '"""Invoices\n' == source or source.startswith(('"Invoices\n', '"Invoices\\', '  "')):
            continue  # no Python before, none after
        assert title_of(renamed) == read.get(name, name), (source, name, renamed)
        before, after = ast.parse(source.removeprefix("\ufeff")), ast.parse(renamed.removeprefix("\ufeff"))
        kept = [ast.dump(it) for it in (before.body[1:] if ast.get_docstring(before) is not None else before.body)]
        assert [ast.dump(it) for it in after.body[1:]] == kept
    assert (
        node('import { renaming } from "RUN/../names.js";\nreturn renaming(given, "Invoices");', '"Invoices"\n') == []
    )
