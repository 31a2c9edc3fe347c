"""The page's scripts as files: templates name what pages begin with, and no script writes markup."""

import random
import re
from pathlib import Path

import jinja2
import pytest
from page_code_support import node

from playground import paths
from playground.web.pages.assets import Assets
from playground.web.pages.templates import duration_text

ROOT = Path(__file__).parent.parent
JS = ROOT / "static" / "js"
# What would make markup, code or a document of a text, which may be a tenant's.
SINKS = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|parseFromString|createContextualFragment|srcdoc|"
    r"execScript)\b|document\.write|\beval\(|new Function\b|javascript:"
)


def test_no_template_lists_what_a_script_is_made_of() -> None:
    """Templates name what a page begins with; what belongs to that is known to the build."""
    texts = [file.read_text() for file in (ROOT / "templates").glob("*.html")]
    named = {name for text in texts for name in re.findall(r"""['"]((?:js|css|editor)/[^'"]+)['"]""", text)}
    assert len(named) < 25
    entries = Assets.from_folder(paths.bundle()).entries
    assert named - set(entries) == set(entries["js/app.js"].later) & {"js/run/live.js", "js/tenants/run.js"}


@pytest.mark.parametrize("folder", ["static/js", "web/src"])
def test_no_script_makes_markup_of_text(folder: str) -> None:
    found = {str(path.relative_to(ROOT)): SINKS.findall(path.read_text()) for path in (ROOT / folder).rglob("*.js")}
    assert found
    assert {path: sinks for path, sinks in found.items() if sinks} == {}


def test_pages_without_scripts_call_things_as_the_scripts_do() -> None:
    words = (
        jinja2.Environment(loader=jinja2.FileSystemLoader(ROOT / "templates")).get_template("_words.html").make_module()
    )
    told = node(
        'import { FINAL, STATUS, STEP } from "RUN/../statuses.js";\nreturn { STATUS, STEP, FINAL: [...FINAL] };'
    )
    pairs = {
        name: {status: [it["icon"].removeprefix("i-"), it["word"]] for status, it in told[name].items()}
        for name in ("STATUS", "STEP")
    }
    del pairs["STEP"]["not"]  # a page without scripts shows no plan
    assert (words.run_words, words.step_words, words.final) == (pairs["STATUS"], pairs["STEP"], told["FINAL"])


def test_a_length_of_time_stays_as_it_was_when_the_scripts_take_over() -> None:
    chance = random.Random(4)
    lengths = [
        0,
        1,
        999,
        1_000,
        1_005,
        1_125,
        3_275,
        9_994,
        9_996,
        10_050,
        59_949,
        59_950,
        3_599_500,
        86_400_000,
        31_536_000_000,
    ]
    lengths += [chance.randrange(10 ** chance.randrange(2, 12)) for _ in range(300)]
    lengths += [
        0.001,
        0.0004,
        0.32,
        0.9994,
        0.9996,
        1.04,
        1.05,
        4.1,
        9.94,
        9.96,
        12.044,
        999.7,
        *(chance.randrange(10**7) / 1_000 for _ in range(300)),
    ]
    told = node(
        'import { lasting } from "RUN/words.js";\nreturn given.map((ms) => lasting(ms).replaceAll("\\u00a0", " "));',
        lengths,
    )
    assert [duration_text(ms) for ms in lengths] == told


def test_every_icon_that_is_named_is_drawn_and_every_one_that_is_drawn_is_named() -> None:
    drawn = set(re.findall(r'<symbol id="i-([\w-]+)"', (ROOT / "templates/_icons.html").read_text()))
    scripts = "\n".join(path.read_text() for path in JS.rglob("*.js"))
    editor = "\n".join(path.read_text() for path in (ROOT / "web/src").glob("*.js"))
    pages = "\n".join(path.read_text() for path in (ROOT / "templates").glob("*.html") if path.name != "_icons.html")
    by_script = {name for name in re.findall(r'\bicon(?:: |\()"([^"]+)"', scripts)}
    assert {name for name in by_script if not name.startswith("i-")} == set()
    named = (
        {name.removeprefix("i-") for name in by_script}
        | set(re.findall(r'#i-([\w-]+)"', pages))
        | set(re.findall(r'\bicon\("([^"]+)"', pages))
    )
    assert named - drawn == set()
    everything = scripts + editor + pages
    assert {name for name in drawn if not re.search(rf'["#](?:i-)?{name}"', everything)} == set()


def test_no_form_sends_a_secret_by_itself() -> None:
    """Before its script is there, or without it, a form goes into the address:
    a field without a name stays out of it.
    """
    fields = [
        field
        for file in (ROOT / "templates").glob("*.html")
        for field in re.findall(r'<input[^>]*type="password"[^>]*>', file.read_text())
    ]
    assert len(fields) >= 4
    assert [field for field in fields if " name=" in field] == []


@pytest.mark.parametrize("folder", ["static/js", "web/src"])
def test_dates_and_numbers_speak_the_pages_language_not_the_browsers(folder: str) -> None:
    """`17. Juni` in an English sentence: whoever gives no language gets the browser's."""
    told = [
        (path.name, call)
        for path in (ROOT / folder).rglob("*.js")
        for call in re.findall(r"(?:toLocale\w+|Intl\.\w+)\((?:\w+)?.{0,12}", path.read_text())
    ]
    assert [(name, call) for name, call in told if not re.match(r'(?:toLocale\w+|Intl\.\w+)\("en(?:-GB)?"', call)] == []
