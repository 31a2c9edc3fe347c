"""The durable lint on anything at all: it never raises, never executes, and every place it names exists."""

import re
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from playground.analysis import MOST_DIAGNOSTICS, check, inspect
from playground.analysis.labels import PARTS
from playground.analysis.rules.unavailable import MAX_SUGGESTIONS
from playground.examples import load

PROGRAMS = [
    *(example.source for example in load()),
    *(path.read_text("utf-8") for path in sorted((Path(__file__).parent / "fixtures").glob("*/*.py"))),
]
PIECES = [
    "await ", "step.", "async ", "@step.do()\n", "(", ")", "*", ":=", "lambda: ", "None", "\n", "    ", '"', "é",
    "event", "step", "{", "}", "global step\n", "nonlocal step\n", "import ", "from x import *\n", "del step\n",
    "yield ", "return ", "class A:\n", "**", "[", "]", "...",
]  # fmt: skip


def check_places(source: str) -> None:
    lines = re.split(r"\r\n|\r|\n", source)
    diagnostics, _ = inspect(source)
    for found in diagnostics:
        span = found.span
        assert 1 <= span.line <= span.end_line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert span.end_column <= max(len(lines[span.end_line - 1]), 1) + 1
        assert (span.line, span.column) < (span.end_line, span.end_column)
        assert found.code != "not-analysed"


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_any_text(source):
    check_places(source)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PROGRAMS), st.data())
def test_programs_with_pieces_cut_out_and_put_in(source, data):
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(source)))
        cut = data.draw(st.sampled_from([0, 0, 1, 5, 30, 200]))
        source = source[:start] + data.draw(st.sampled_from([*PIECES, ""])) + source[start + cut :]
    check_places(source)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PROGRAMS), st.data())
def test_programs_with_lines_dropped_and_swapped(source, data):
    lines = source.split("\n")
    for _ in range(data.draw(st.integers(1, 4))):
        one, other = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        lines[one], lines[other] = lines[other], lines[one]
        if len(lines) > 5 and data.draw(st.booleans()):
            del lines[one]
    check_places("\n".join(lines))


HEAD = (
    "import asyncio\nfrom workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def "
    "run(self, event, step):\n"
)


def check_lines(*lines: str) -> list[str]:
    """The codes found in a `run` of these lines, which would take for ever if each were compared with each other
    one.
    """
    found = [
        diagnostic["code"] for diagnostic in check(HEAD + "".join(f"        {line}\n" for line in lines))["diagnostics"]
    ]
    assert "not-analysed" not in found
    return found


def test_ends_on_one_variable_that_many_steps_change_set_and_read():
    assert "state-in-step" in check_lines(
        "x = []", *["await step.do('a', lambda: x.append(1))"] * 600, *["print(x)"] * 1500
    )
    check_lines("x = []", *["x = await step.do('a', lambda: x.append(1))", "print(x)"] * 700)


def test_ends_on_steps_that_all_have_one_name():
    lines = ["@step.do('n')", "async def f(): x.append(1)", "await f()"] * 800
    assert "duplicate-name" in check_lines("x = []", *lines, "return x")


def test_ends_on_sets_made_of_sets_made_of_sets():
    assert check_lines(
        "v0 = event",
        *[f"v{n + 1} = " + " | ".join([f"v{n}"] * 100) for n in range(100)],
        "for v in v100:",
        "    await step.do('a', f)",
    )
    assert "set-order" in check_lines("[step.do('a', f) " + " ".join(["for a in {1, 2}"] * 3000) + "]")


def test_ends_on_timeouts_around_timeouts():
    line = "await " + "asyncio.wait_for(" * 150 + "step.do('a', f)" + ", 1)" * 150
    assert "timeout-around-step" in check_lines(*[line] * 20)


def test_ends_on_conditions_of_many_numbers_of_objects():
    assert "hash-of-object" in check_lines(
        "if " + " or ".join(["hash(event)"] * 3000) + ":", "    await step.do('a', f)"
    )


def test_ends_on_many_characters_that_reorder():
    assert "reordered-source" in check_lines("x = '" + "\u202e" * 20_000 + "'", *["y = '\u2066'"] * 3000)


def test_never_executes_what_it_reads(capsys):
    check("import sys\nprint('ran')\nsys.modules['ran'] = 1\nraise SystemExit(3)\n")
    assert "ran" not in sys.modules
    assert capsys.readouterr().out == ""


def test_lists_no_more_than_helps():
    assert len(check("\n".join(f"unknown{number}" for number in range(1000)))["diagnostics"]) == MOST_DIAGNOSTICS


def test_does_not_compare_every_unknown_name_with_every_known_one():
    names = "\n".join(f"a_longer_name_{number} = a_longer_mane_{number}" for number in range(300))
    suggested = [it for it in inspect(names)[0] if it.code == "undefined-name" and it.fix is not None]
    assert len(suggested) == MAX_SUGGESTIONS


def test_ends_on_helpers_that_each_call_the_next_one_twice():
    helpers = "\n".join(f"async def h{n}():\n    await h{n + 1}()\n    await h{n + 1}()" for n in range(60))
    run = "class TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, event, step):\n        await h0()"
    assert inspect(f"{helpers}\nasync def h60(): ...\n{run}")[1] == []


def test_ends_on_names_made_of_names_made_of_names():
    lines = "\n".join(f"        v{n + 1} = f'{{v{n}}}{{v{n}}}'" for n in range(60))
    run = (
        f"class TenantWorkflow:\n    async def run(self, event, step):\n        v0 = 'a'\n{lines}\n        await "
        "step.sleep(v60, '1 day')"
    )
    (node,) = inspect(run)[1]
    assert len(node["name"]) == PARTS
