"""What stands in pages: highlighted code, JSON and durations."""

import re

import aio
import msgspec
import pytest

from playground.web.pages import templates
from playground.web.pages.highlight import Highlighter, highlight


def plain(shown: str) -> str:
    text = re.sub(r"<[^>]+>", "", shown)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\n",
        "x",
        "x = 1\n",
        '"""a\nb"""\n\ny',
        "def f(): # <b>&\n    return '</span>'",
        "\u00e9\U0001f600 = 'ü'",
        "\r\nx\r\n",
        "{" * 2_000,
        "'''" * 999,
    ],
)
def test_highlighting_changes_nothing_but_the_looks(source: str) -> None:
    shown = str(highlight(source))
    assert plain(shown) == source.removesuffix("\n")
    lines = shown.split("\n")
    assert [re.match(r'<span class="line" id="L(\d+)">.*</span>', line)[1] for line in lines] == [
        str(number + 1) for number in range(len(lines))
    ]
    assert all(line.count("<span") == line.count("</span>") for line in lines)


def test_keywords_strings_numbers_names_and_comments_are_told_apart() -> None:
    shown = str(highlight("def charge(): # why\n    return 'x', 42\n"))
    for kind, text in (
        ("keyword", "def"),
        ("name", "charge"),
        ("comment", "# why"),
        ("keyword", "return"),
        ("string", "&#x27;x&#x27;"),
        ("number", "42"),
    ):
        assert f'<span class="tok-{kind}">{text}</span>' in shown


def test_a_source_made_to_be_slow_is_given_up_on_in_time() -> None:
    source = " \n" * 32_000  # quadratic in Pygments' lexer: 46 s
    shown = str(highlight(source, deadline=0.05))
    assert plain(shown) == source.removesuffix("\n")


def test_the_same_source_is_highlighted_once() -> None:
    highlighter = Highlighter()

    async def twice() -> bool:
        return await highlighter.highlight_python("x = 1") is await highlighter.highlight_python("x = 1")

    assert aio.run(twice())


def test_json_in_a_page_cannot_leave_its_element() -> None:
    shown = str(templates.json_script({"source": "</script><!--<script>&\u2028"}))
    assert not re.search("[<>&\u2028]", shown)
    assert msgspec.json.decode(shown) == {"source": "</script><!--<script>&\u2028"}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_200, "1.2 s"),
        (184_000, "3 min 4 s"),
        (7_500_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_durations_are_for_people(ms: int | None, text: str) -> None:
    assert templates.duration_text(ms) == text
