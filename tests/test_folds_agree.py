"""Rows, `State` and the page's fold agree after every event of any journal that an engine could write.

The journals come from a model of what is legal (tests/journal_model.py). It knows by itself what status an instance has
and which events nobody has consumed. A journal that showed a fault is kept as a case in tests/journals.
"""

import json
import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from folds_support import PAGE_VIEWS, Rows, as_json, rows_say, state_says
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import Model
from journal_parts import Commit, journal
from page_code_support import node_function

from playground.workflows import events as ev
from playground.workflows.state import FOLDED_TYPES, State

JOURNALS = int(os.environ.get("HYPOTHESIS_EXAMPLES", "100"))
MOVES = 80
PageFold = Callable[[Any], list[dict[str, Any]]]

numbers = st.lists(st.integers(0, 2**24), min_size=MOVES, max_size=MOVES)


@pytest.fixture(scope="module")
def page_fold() -> Iterator[PageFold]:
    with node_function(PAGE_VIEWS) as call:
        yield call


def played(moves: list[int], chaos: bool, forked: bool) -> Model:
    model = Model(Random(moves[0]), chaos=chaos, forked=forked)
    for number in filter(None, moves):
        model.move(number)
    return model


@given(moves=numbers, chaos=st.booleans(), forked=st.booleans())
@settings(max_examples=JOURNALS)
def test_rows_state_and_page_agree_after_every_event(
    page_fold: PageFold, moves: list[int], chaos: bool, forked: bool
) -> None:
    model = played(moves, chaos, forked)
    events = journal(model.commits)
    rows, batches, state = Rows(events[0], model.injected), Rows(events[0], model.injected), State()
    its_views = iter(page_fold(as_json(events)))
    left = iter(events)
    for place, commit in enumerate(model.commits):
        for event in (next(left) for _ in commit.events):
            state.apply(event)
            if event.seq > 1:
                rows.take(event)
            where = f"after event {event.seq}, {event.type}"
            assert rows_say(rows) == state_says(state), where
            assert next(its_views) == view(state), where
        _commit(batches, commit, first=place == 0)
        assert (state.status, sorted(rows.inbox)) == (commit.status, commit.inbox), where
        assert_same(batches, rows)


def _commit(rows: Rows, commit: Commit, first: bool) -> None:
    """The whole commit at once; `Rows` begin with the first event of a journal."""
    events = commit.events[1:] if first else commit.events
    if events:
        rows.commit(events, commit.at, commit.execution)


def view(state: State) -> dict[str, Any]:
    """What the page says of a state, as JSON."""
    shown: dict[str, Any] = json.loads(json.dumps(state.as_json()))
    return {**shown, "in_execution": state.in_execution}


def assert_same(batches: Rows, rows: Rows) -> None:
    """A commit does what its events do one by one."""
    assert rows_say(batches) == rows_say(rows)
    assert (batches.row.due_at, batches.row.owner, batches.inbox) == (rows.row.due_at, rows.row.owner, rows.inbox)


def test_the_journals_are_long_and_have_every_event_that_the_folds_apply() -> None:
    lengths, types = [], set()
    for seed in range(JOURNALS):
        pick = Random(seed)
        model = played([pick.randrange(2**24) for _ in range(MOVES)], pick.random() < 0.5, pick.random() < 0.5)
        events = journal(model.commits)
        lengths.append(len(events))
        types |= {event.type for event in events}
    assert sum(lengths) / len(lengths) > 70
    assert types >= FOLDED_TYPES | {ev.STEP_RELEASED, ev.EVENT_RECEIVED, ev.KV_PUT, ev.KV_DELETED, ev.WORKFLOW_MIGRATED}
