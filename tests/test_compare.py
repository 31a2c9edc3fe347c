"""Two instances side by side: steps that belong together, the first difference, alike on the server and in the browser;
the page without scripts.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from folds_support import from_json
from http_support import Site, code_of
from page_code_support import node
from test_page_fold import JOURNALS

from playground.workflows.compare import changed_lines, compare
from playground.workflows.state import fold

BOTH = """
import { compare } from "RUN/compare-fold.js";
return given.map(([a, b]) => compare(a, b));
"""
SOURCE = """\
from workers import NonRetryableError, WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def bad():
            raise NonRetryableError(f"no {event['payload']['word']}")
        await step.do("<first>", lambda: "same")
        await step.do("second", lambda: event["payload"]["word"] * 40)
        await step.do("third", bad)
"""


def view(events: list[dict[str, Any]], snippet: str = "s") -> dict[str, Any]:
    """An instance as the API shows it after these events."""
    return json.loads(json.dumps({**fold(from_json(events)).as_json(), "snippet": snippet}))


def step(name: str, **given: Any) -> dict[str, Any]:
    tried = [{"attempt": 1, "execution": 1, "started_at": 0, "ended_at": 1}]
    return {
        "kind": "do",
        "name": name,
        "count": 1,
        "line": 1,
        "status": "completed",
        "started_at": 0,
        "ended_at": 1,
        "output": 1,
        "attempts": tried,
        **given,
    }


def run(*steps: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {
        "steps": list(steps),
        "status": "complete",
        "output": 1,
        "error": None,
        "params": None,
        "snippet": "s",
        **given,
    }


ERROR = {"name": "E", "message": "m", "traceback": [], "line": 3}
WAIT = {"kind": "wait", "output": {"type": "go", "payload": 1, "timestamp": 5}}
CASES = {
    "alike": (run(step("a")), run(step("a")), [("a", [])], None),
    "another result": (run(step("a"), step("b")), run(step("a"), step("b", output=2)), [("a", []), ("b", ["output"])],
        1),
    "true is not one": (run(step("a", output=True)), run(step("a")), [("a", ["output"])], 0),
    "deep": (run(step("a", output={"x": [1, {}]})), run(step("a", output={"x": [1, None]})), [("a", ["output"])], 0),
    "only one has it": (run(step("a"), step("b")), run(step("a"), step("c"), step("b")),
        [("a", []), ("c", ["only_b"]), ("b", [])], 1),
    "what is only there comes where it stands": (
        run(step("a"), step("x"), step("b")),
        run(step("y"), step("a"), step("b"), step("z")),
        [("y", ["only_b"]), ("a", []), ("x", ["only_a"]), ("b", []), ("z", ["only_b"])],
        0,
    ),
    "another order is no difference": (run(step("a"), step("b")), run(step("b"), step("a")), [("a", []), ("b", [])],
        None),
    "an error": (run(step("a")), run(step("a", status="errored", error=ERROR, output=None)),
        [("a", ["status", "output", "error"])], 0,),
    "an error on another line is the same": (
        run(step("a", error=ERROR)), run(step("a", error={**ERROR, "line": 9, "traceback": [1]})), [("a", [])], None,
    ),
    "attempts": (run(step("a")), run(step("a", attempts=[])), [("a", ["attempts"])], 0),
    "a copied step was tried where it ran": (run(step("a")),
        run(step("a", attempts=[], copied={"attempts": 1, "took_ms": 7})), [("a", [])], None),
    "an edited step has no attempts": (run(step("a")),
        run(step("a", attempts=[], copied={"attempts": 0, "edited": True})), [("a", [])], None),
    "an event at another time is the same": (run(step("w", **WAIT)),
        run(step("w", **{**WAIT, "output": {**WAIT["output"], "timestamp": 9}})), [("w", [])], None),
    "another end": (run(step("a")), run(step("a"), output=2), [("a", [])], 1),
    "nothing at all": (run(), run(status="errored", error=ERROR, output=None), [], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_steps_that_belong_together_and_where_they_differ(name: str) -> None:
    a, b, rows, first = CASES[name]
    found = compare(a, b)
    assert ([(row["name"], row["differs"]) for row in found["rows"]], found["first"]) == (rows, first)


def test_the_browser_compares_as_the_server_does() -> None:
    views = [view(events, snippet) for snippet, events in JOURNALS.items()]
    pairs = [(a, b) for a in views for b in views] + [(a, b) for a, b, _, _ in CASES.values()]
    assert node(BOTH, pairs) == [compare(a, b) for a, b in pairs]


@pytest.mark.parametrize(
    ("a", "b", "line", "mine", "other"),
    [
        ("a\nb\nc", "a\nx\ny\nc", 2, ["b"], ["x", "y"]),
        ("a\nb", "a\nb\nc", 3, [], ["c"]),
        ("a\na\na", "a\na", 3, ["a"], []),
        ("", "x", 1, [], ["x"]),
        ("x\nsame", "y\nsame", 1, ["x"], ["y"]),
        ("1\n2\n3\n4", "1\nb\n3\nd", 2, ["2", "3", "4"], ["b", "3", "d"]),
    ],
)
def test_where_two_sources_differ(a: str, b: str, line: int, mine: list[str], other: list[str]) -> None:
    assert changed_lines(a, b) == (line, mine, other)


def page(site: Site, query: str) -> tuple[int, str]:
    answer = site.client.get(f"/compare{query}", headers={"Accept": "text/html"})
    return answer.status_code, answer.text


@pytest.fixture(scope="module")
def two(site: Site) -> list[str]:
    made = [site.create(SOURCE, params={"word": word}) for word in ("one", "two")]
    for it in made:
        site.finish(it)
    return [it["id"] for it in made]


def test_two_runs_are_compared_as_json(site: Site, two: list[str]) -> None:
    found = site.client.get(
        "/compare", params={"a": two[0], "b": two[1]}, headers={"Accept": "application/json"}
    ).json()
    assert [(row["name"], row["differs"]) for row in found["rows"]] == [
        ("<first>", []),
        ("second", ["output"]),
        ("third", ["error"]),
    ]
    assert (found["first"], found["outcome"], found["params"], found["code"]) == (1, ["error"], False, True)
    assert [found[name]["id"] for name in "ab"] == two


def test_the_page_needs_no_scripts_and_takes_whole_addresses(site: Site, two: list[str]) -> None:
    status, text = page(site, f"?a=http://127.0.0.1/instances/{two[0]}?at=4&b=/instances/{two[1]}")
    assert (
        status == 200
        and text.count("first difference</span>") == 1
        and "&lt;first&gt;" in text
        and "<first>" not in text
    )
    assert "another result" in text and "NonRetryableError: no two" in text and "1 of 3 steps are alike." in text
    assert "compare.js" not in text  # both have ended: nothing will move
    alike = page(site, f"?a={two[0]}&b={two[0]}")[1]
    assert "No difference" in alike and "first difference</span>" not in alike


def test_a_fork_is_held_against_its_parent(site: Site, two: list[str]) -> None:
    made = site.client.post(
        f"/api/instances/{two[0]}/fork", json={"from_step": {"name": "second"}, "output": "edited"}
    ).json()
    site.finish(made)
    other = site.client.post(f"/api/instances/{two[0]}/fork", json={"source": SOURCE.replace('"same"', '"<b>"')}).json()
    site.finish(other)
    text = page(site, f"?a={two[0]}&b={other['id']}")[1]
    assert "from line 8 on" in text and "lambda: &#34;&lt;b&gt;&#34;" in text
    found = site.client.get(
        "/compare", params={"a": two[0], "b": made["id"]}, headers={"Accept": "application/json"}
    ).json()
    assert [row["differs"] for row in found["rows"]] == [[], ["output"], []]
    text = page(site, f"?a={two[0]}&b={made['id']}")[1]
    assert 'tag open">edited' in text and 'tag open">copied' in text


def test_what_cannot_be_compared_is_said_beside_the_fields(site: Site, two: list[str]) -> None:
    assert page(site, "")[0] == 200 and "Paste the addresses of two runs" in page(site, "")[1]
    status, text = page(site, f"?a={two[0]}&b=%3Cscript%3E")
    assert status == 200 and "No run has the address “&lt;script&gt;”" in text and f'value="{two[0]}"' in text
    for query in (f"?a={two[0]}&b=nobody", f"?a={two[0]}"):
        answer = site.client.get(f"/compare{query}", headers={"Accept": "application/json"})
        assert code_of(answer) == (404, "instance.not_found")


def test_a_run_without_scripts_says_what_it_is_a_fork_of(site: Site, two: list[str]) -> None:
    made = site.client.post(f"/api/instances/{two[0]}/fork", json={"from_step": {"name": "second"}}).json()
    site.finish(made)
    text = site.client.get(made["url"], headers={"Accept": "text/html"}).text
    assert f'href="/compare?a={two[0]}&amp;b={made["id"]}"' in text and "Fork of" in text


def test_every_name_of_a_difference_has_words() -> None:
    names = {name for a, b, _, _ in CASES.values() for row in compare(a, b)["rows"] for name in row["differs"]}
    page = (Path(__file__).parent.parent / "templates" / "compare.html").read_text()
    script = (Path(__file__).parent.parent / "static" / "js" / "compare-rows.js").read_text()
    for name in names:
        assert f'"{name}": "' in page and f'{name}: "' in script
