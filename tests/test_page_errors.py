"""Errors on the page are what Python prints: causes, contexts, notes and the members of groups; with scripts and
without.
"""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
from page_code_support import node

from playground.web.instance_view import first_error, omitted_errors, step_label, steps_in_order

TEXT = 'import { traceText } from "RUN/errors.js";\nreturn given.map(traceText);'
BRIEF = 'import { errorBrief } from "RUN/words.js";\nreturn given.map(errorBrief);'
CARETS = re.compile(r"\n[ |]*[~^]+(?=\n)")


def raised(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - it is what is wanted
        return error
    raise AssertionError("it raised nothing")


def stored(error: BaseException) -> dict[str, Any]:
    """The form in which an error stands in a journal."""
    frames = [
        {"line": it.lineno, "function": it.name, "code": it.line} for it in traceback.extract_tb(error.__traceback__)
    ]
    shown: dict[str, Any] = {
        "name": type(error).__name__,
        "message": str(error),
        "traceback": frames,
        "line": frames[-1]["line"] if frames else None,
    }
    if notes := getattr(error, "__notes__", None):
        shown["notes"] = notes
    if error.__cause__ is not None:
        shown["cause"] = stored(error.__cause__)
    elif error.__context__ is not None and not error.__suppress_context__:
        shown["context"] = stored(error.__context__)
    if isinstance(error, BaseExceptionGroup):
        shown["errors"] = [stored(inner) for inner in error.exceptions]
    return shown


def printed(error: BaseException) -> str:
    """What Python prints of it, without the marks under its code and with the tenant's file."""
    text = "".join(traceback.format_exception(error)).rstrip("\n")
    return CARETS.sub("", text.replace(f'File "{__file__}"', 'File "workflow.py"'))


def chained() -> None:
    try:
        int("x")
    except ValueError as cause:
        cause.add_note("order 17")
        cause.add_note("two\nlines")
        raise RuntimeError("cannot read the order") from cause


def handling() -> None:
    try:
        chained()
    except RuntimeError:
        raise KeyError("again")  # noqa: B904 - the one that was being handled is to be shown


def suppressed() -> None:
    try:
        chained()
    except RuntimeError:
        raise LookupError("alone") from None


def grouped() -> None:
    # What is raised stands on one line, since Python 3.13 prints the further lines too.
    inner = ExceptionGroup("inner", [TypeError("t"), raised(chained)])  # type: ignore[list-item]
    raise ExceptionGroup("outer", [ValueError("one"), inner, OSError("z")])


def group_last() -> None:
    inner = ExceptionGroup("inner", [raised(handling), ExceptionGroup("innermost", [ValueError()])])  # type: ignore[list-item]
    inner.add_note("a note of a group")
    raise ExceptionGroup("outer", [ValueError("one"), inner])


def caused_by_a_group() -> None:
    try:
        grouped()
    except* OSError as found:
        raise RuntimeError("after") from found


ERRORS = {act.__name__: act for act in (chained, handling, suppressed, grouped, group_last, caused_by_a_group)}


def test_the_text_that_is_copied_is_what_python_prints() -> None:
    errors = [raised(act) for act in ERRORS.values()]
    for error, text in zip(errors, node(TEXT, [stored(error) for error in errors]), strict=True):
        assert text == printed(error)


def test_members_that_were_not_kept_are_counted() -> None:
    shown = {**stored(raised(grouped)), "message": "outer (5 sub-exceptions)"}
    [text] = node(TEXT, [shown])
    assert "  | and 2 more exceptions\n" in text and text.count("+---------------- ... ----------------") == 1
    assert omitted_errors(shown) == 2


def test_one_line_of_a_group_says_what_went_wrong() -> None:
    shown = [stored(raised(act)) for act in (chained, grouped)] + [
        {"name": "ExceptionGroup", "message": "m", "errors": [{"name": "KeyError", "message": "'k'"}]}
    ]
    assert node(BRIEF, shown) == [
        "RuntimeError: cannot read the order",
        "ValueError: one, one of 3 in ExceptionGroup",
        "KeyError: 'k', in ExceptionGroup",
    ]
    assert [first_error(error)["name"] for error in shown] == ["RuntimeError", "ValueError", "KeyError"]


@pytest.fixture(scope="module")
def macros() -> Any:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(first_error=first_error, left_out_errors=omitted_errors, steps_in_order=steps_in_order)
    return environment.get_template("_errors.html").make_module()


def parts_of(error: dict[str, Any]) -> list[str]:
    """All that is to be read of an error: messages, notes and code, each as often as it stands there."""
    told = [
        f"{error['name']}: {error['message']}".removesuffix(": "),
        *error.get("notes", ()),
        *(frame["code"] for frame in error["traceback"]),
    ]
    inner = [error[name] for name in ("cause", "context") if name in error] + error.get("errors", [])
    return [*told, *(part for one in inner for part in parts_of(one))]


@pytest.mark.parametrize("name", ERRORS)
def test_a_page_without_scripts_has_all_of_it(name: str, macros: Any) -> None:
    error = stored(raised(ERRORS[name]))
    html = str(macros.trace(error))
    text = (
        re.sub(r"<[^>]*>", "", html)
        .replace("&#39;", "'")
        .replace("&#34;", '"')
        .replace("&lt;", "<")
        .replace("&gt;", ">")
    )
    for part in parts_of(error):
        assert part in text
    assert text.count("direct cause") == printed(raised(ERRORS[name])).count("direct cause")
    assert html.count("<li>") == sum(_members(error))
    assert "<a href" not in str(macros.trace(error, linked=False)) and '<a href="#L' in html


def _members(error: dict[str, Any]) -> list[int]:
    inner = [error[name] for name in ("cause", "context") if name in error] + error.get("errors", [])
    return [len(error.get("errors", [])), *(many for one in inner for many in _members(one))]


def test_steps_called_in_another_one_stand_under_it() -> None:
    def step(name: str, parent: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"kind": "do", "name": name, "count": 1, **({"parent": parent} if parent else {})}

    load, save, lost = step("load"), step("save"), step("lost")
    fetch = step("fetch", load)
    steps = [load, save, fetch, step("fetch", save), step("parse", fetch), step("orphan", lost)]
    assert [(it["name"], deep) for it, deep in steps_in_order(steps)] == [
        ("load", 0),
        ("fetch", 1),
        ("parse", 2),
        ("save", 0),
        ("fetch", 1),
        ("orphan", 0),
    ]
    assert step_label(steps[4]) == "load › fetch › parse" and step_label({**load, "count": 2}) == "load-2"
    script = """
import { rowsOf } from "RUN/nested.js";
import { apply, newState } from "RUN/fold.js";
import { pathLabel } from "RUN/words.js";
const state = newState();
given.forEach((step, index) =>
    apply(state, { seq: index + 1, at: index, type: "step_started", execution: 1, step, data: {} }));
return rowsOf(state).map((step) => pathLabel(step));
"""
    assert node(script, steps) == [step_label(it) for it, _ in steps_in_order(steps)]


def test_equal_errors_are_one_with_a_count() -> None:
    alike = {"name": "Timeout", "message": "no answer", "traceback": [{"line": 3, "function": "run", "code": "go()"}]}
    other = alike | {"message": "refused"}
    moved = alike | {"traceback": [{"line": 4, "function": "run", "code": "go()"}]}
    places = 'import { alikeErrors } from "RUN/errors.js";\nreturn alikeErrors(given).map((one) => one.places);'
    runs = 'import { alikeRuns } from "RUN/errors.js";\nreturn alikeRuns(given.map((error) => ({ error })));'
    assert node(places, [alike, other, alike, alike, moved]) == [[0, 2, 3], [1], [4]]
    assert node(runs, [alike, alike, other, None, None, alike]) == [2, 0, 1, 1, 1, 1]
    assert node(runs, [alike] * 20) == [20] + [0] * 19


def test_the_error_of_many_steps_stands_under_the_first_of_them() -> None:
    script = """
import { Setbacks } from "RUN/setback.js";
const setbacks = new Setbacks({});
const step = (key, error) => ({ key, kind: "do", endedAt: null, startedSeq: Number(key), line: 1, config: null,
    attempts: [{ endedAt: 1, error: { name: "E", message: error }, injected: null }] });
const open = new Set(given.map(([key, error]) => step(key, error)));
setbacks.update({ status: "waiting", open }, { final: false });
return [...setbacks.shown];
"""
    held = [["1", "no answer"], ["2", "no answer"], ["3", "refused"], ["4", "no answer"], ["5", "x"], ["6", "y"]]
    assert node(script, held) == [["1", 2], ["3", 0], ["5", 0]]
