"""What is typed into the command palette finds its entries by the words of the buttons."""

from typing import Any

from page_code_support import node


def found(query: str, *entries: str | dict[str, Any]) -> list[str]:
    """The words of the entries that are found, in their order, with `*` around what is marked."""
    return node(
        """
        import { ranked } from "RUN/../palette-match.js";
        const mark = (text, [a, b]) => `${text.slice(0, a)}*${text.slice(a, b)}*${text.slice(b)}`;
        const found = ranked(given.entries, given.query);
        return found.map(({ entry: { words }, marks }) => marks.toReversed().reduce(mark, words));
        """,
        {"query": query, "entries": [{"words": it} if isinstance(it, str) else it for it in entries]},
    )


def test_the_beginning_counts_more_than_a_word_and_a_word_more_than_its_inside() -> None:
    entries = ("Skill tree", "Chaos: kill the worker", "Kill worker", "Pause")
    assert found("kill", *entries) == ["*Kill* worker", "Chaos: *kill* the worker", "S*kill* tree"]


def test_all_words_have_to_be_found_in_any_order() -> None:
    assert found("work ki", "Kill worker", "Kill switch") == ["*Ki*ll *work*er"]
    assert found("kill x", "Kill worker") == []


def test_a_word_is_marked_where_one_begins_with_it() -> None:
    assert found("art", "Restart from the artifact") == ["Restart from the *art*ifact"]


def test_marks_that_touch_are_one() -> None:
    assert found("for fork k", "Fork") == ["*Fork*"]


def test_accents_and_case_make_no_difference_and_marks_keep_their_places() -> None:
    assert found("uber", "Ship \N{LATIN CAPITAL LETTER U WITH DIAERESIS}bergabe") == [
        "Ship *\N{LATIN CAPITAL LETTER U WITH DIAERESIS}ber*gabe"
    ]
    assert found("pause", "\N{SLEEPING FACE} pause") == ["\N{SLEEPING FACE} *pause*"]


def test_what_cannot_be_done_stands_after_what_can() -> None:
    off = {"words": "Retry now", "reason": "Nothing waits for a retry."}
    assert found("retry", off, "Undo the retry") == ["Undo the *retry*", "*Retry* now"]
    assert found(" ", off, "Undo the retry", "Pause") == ["Undo the retry", "Pause", "Retry now"]


def test_what_is_not_shown_is_found_and_not_marked() -> None:
    assert found("e41c ship", {"words": "ship parcel", "more": "run e41c07"}) == ["*ship* parcel"]


def test_the_keys_of_the_table_are_each_bound_once() -> None:
    twice, bound = node(
        """
        import { TABLE } from "RUN/../keys.js";
        const keysOf = ([, keys, does]) => Array.isArray(does) ? keys.split(" ") : keys ? [keys] : [];
        const keys = Object.values(TABLE).flat().flatMap(keysOf);
        return [keys.filter((key, place) => keys.indexOf(key) !== place), keys.length];
        """
    )
    assert twice == []
    assert bound > 30
