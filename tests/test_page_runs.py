"""What the list of recent runs says of each, how old it is, and what a search leaves."""

from typing import Any

from page_code_support import node

NOW = 1_800_000_000_000
RUN = {"id": "e41c07aa", "title": "Invoices", "at": NOW - 12_000, "own": True}
KNOWN = {"status": "complete", "execution": 1, "error": None, "started_at": NOW - 12_000, "ended_at": NOW - 3_600}
ERROR = {"name": "KeyError", "message": "'total'", "line": 40}


def row(run: dict[str, Any], known: Any, **how: Any) -> dict[str, str]:
    return node(
        """
        import { rowOf } from "RUN/../runs-rows.js";
        import { lasting } from "RUN/words.js";
        return rowOf(given.run, given.known, { lasting, ...given.how });
        """,
        {"run": RUN | run, "known": known, "how": {"now": NOW, "trouble": False, "current": False} | how},
    )


def test_a_row_says_its_status_in_a_word_its_age_and_one_detail() -> None:
    assert row({}, KNOWN) == {
        "name": "Invoices",
        "detail": "e41c07 · 8.4\u00a0s",
        "word": "Complete",
        "tone": "done",
        "age": "12 s",
    }
    failed = row({}, {**KNOWN, "status": "errored", "error": ERROR})
    assert (failed["detail"], failed["word"], failed["tone"]) == (
        "e41c07 · KeyError, line 40: 'total'",
        "Errored",
        "bad",
    )
    assert (
        row({}, {**KNOWN, "status": "waiting", "ended_at": None, "execution": 2})["detail"] == "e41c07 · 2 executions"
    )
    assert row({"own": False, "title": ""}, None, current=True) == {
        "name": "Untitled",
        "detail": "e41c07 · this one · somebody’s, opened here",
        "word": "Asking",
        "tone": "not",
        "age": "12 s",
    }
    assert row({"at": None}, "gone")["word"] == "No longer kept"
    assert row({"at": None}, None, trouble=True)["word"] == "Not known"


def test_an_age_is_in_its_largest_unit() -> None:
    ages = node(
        'import { age } from "RUN/../runs-rows.js";\nreturn given.map((ms) => age(0, ms));',
        [-5, 0, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000, 3 * 86_400_000],
    )
    assert ages == ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 day", "3 days"]


def test_a_search_looks_into_names_ids_statuses_and_errors_and_filters_into_what_is_known() -> None:
    runs = [RUN, {**RUN, "id": "9b02aa", "title": "Films"}, {**RUN, "id": "77d1f0", "title": "Invoices, November"}]
    known = {"9b02aa": {**KNOWN, "status": "waiting"}, "77d1f0": {**KNOWN, "status": "errored", "error": ERROR}}
    found, filtered = node(
        """
        import { FILTERS, searched } from "RUN/../runs-rows.js";
        const knownOf = (id) => given.known[id] ?? null;
        const ids = (runs) => runs.map(({ id }) => id);
        return [
          given.queries.map((query) => ids(searched(given.runs, query, knownOf))),
          Object.values(FILTERS).map(({ fits }) => ids(given.runs.filter(({ id }) => fits(knownOf(id))))),
        ];
        """,
        {"runs": runs, "known": known, "queries": ["", "inv nov", "KEYERROR", "9b02", "waiting", "total x"]},
    )
    assert found == [["e41c07aa", "9b02aa", "77d1f0"], ["77d1f0"], ["77d1f0"], ["9b02aa"], ["9b02aa"], []]
    assert filtered == [["e41c07aa", "9b02aa", "77d1f0"], ["9b02aa"], ["77d1f0"]]


def test_an_age_says_when_it_is_another_one() -> None:
    ages = node(
        'import { age, untilOlder } from "RUN/../runs-rows.js";\n'
        "return given.map((now) => [untilOlder(0, now), age(0, now) !== age(0, now + untilOlder(0, now)),"
        " age(0, now) === age(0, now + untilOlder(0, now) - 1)]);",
        [0, 999, 59_000, 61_500, 3_599_999, 3 * 3_600_000, 5 * 86_400_000 + 1],
    )
    assert ages == [[after, True, True] for after in (1_000, 1, 1_000, 58_500, 1, 3_600_000, 86_399_999)]
