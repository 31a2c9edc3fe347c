"""What a create may ask of its start, what is refused of it and with which words, and what a key's limits admit."""

import pytest
from store_support import AT, new

from playground.store.flow import ADMITTED_MOST, Look, admit, looks, next_start_at
from playground.store.projection import first_event, initial_row, project
from playground.store.projection_rules import replace
from playground.workflows import events as ev
from playground.workflows.errors import InvalidFlow
from playground.workflows.flow import (
    Debounce,
    Flow,
    FlowLimits,
    Rate,
    checked_flow,
    checked_limits,
)

ONE = FlowLimits(concurrency_per_key=1)
TWO_A_MINUTE = FlowLimits(rate=Rate(2, 60))


def held(number, *, limits=ONE, until=AT, key="order-7", **given):
    flow = Flow(key, limits=limits, **given)
    made = new(f"i{number}", flow=flow, held_until=until, limits=flow.stored_limits() or None)
    return project(initial_row(made, number, AT), [first_event(made)], AT, {}).row


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param({"key": ""}, "`key` takes text of 1 to 200 printable characters.", id="an empty key"),
        pytest.param({"key": "x" * 201}, "`key` takes text of 1 to 200", id="a long key"),
        pytest.param({"key": "a\nb"}, "printable", id="a key of two lines"),
        pytest.param({"key": 7}, "`key` takes text", id="a key that is a number"),
        pytest.param({"delay": "soon"}, '`delay`: Invalid duration "soon"', id="a delay in words of its own"),
        pytest.param({"delay": "2 years"}, "`delay` takes at most 365 days.", id="a delay of years"),
        pytest.param({"delay": -1}, "`delay`: Invalid duration -1", id="a delay into the past"),
        pytest.param({"priority": 101}, "`priority` takes a whole number from 0 to 100.", id="too much priority"),
        pytest.param({"priority": -1}, "`priority` takes a whole number", id="a negative priority"),
        pytest.param({"priority": True}, "`priority` takes a whole number", id="a priority that is a truth value"),
        pytest.param({"singleton": True}, "`singleton` needs a `key`", id="a singleton of nothing"),
        pytest.param({"singleton": "yes", "key": "k"}, "`singleton` takes true or false.", id="a singleton in words"),
        pytest.param({"debounce": {"seconds": 5}}, "`debounce` needs a `key`", id="a debounce of nothing"),
        pytest.param({"debounce": {"key": "k"}}, "`debounce` takes", id="a debounce without seconds"),
        pytest.param({"debounce": {"key": "k", "seconds": 0}}, "more than 0", id="a debounce of no time"),
        pytest.param({"debounce": {"key": "k", "seconds": 90_000}}, "at most 86,400", id="a debounce of days"),
        pytest.param(
            {"debounce": {"key": "k", "seconds": 9, "longest": 8}}, "at least `seconds`", id="a longest that is shorter"
        ),
        pytest.param({"debounce": {"key": "k", "seconds": 9}, "key": "l"}, "another key", id="two keys"),
        pytest.param(
            {"debounce": {"seconds": 9}, "key": "k", "singleton": True}, "take one of them", id="singleton and debounce"
        ),
        pytest.param({"limits": {"concurrency_per_key": 1}}, "`limits` needs a `key`", id="limits of nothing"),
        pytest.param({"limits": {"workers": 1}, "key": "k"}, "`limits` takes concurrency_per_key", id="another limit"),
        pytest.param({"debounce": {"seconds": 9}, "key": "k", "delay": 5}, "both say when", id="debounce and delay"),
    ],
)
def test_what_makes_no_sense_is_refused(asked, words):
    with pytest.raises(InvalidFlow) as refused:
        checked_flow(**asked)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        pytest.param(
            {"concurrency_per_key": 0}, "`concurrency_per_key` takes a whole number from 1 to 10,000.", id="none"
        ),
        pytest.param({"concurrency_per_key": "1"}, "`concurrency_per_key` takes a whole number", id="text"),
        pytest.param({"rate": 5}, '`rate` takes {"count", "seconds"}', id="a rate without a span"),
        pytest.param({"rate": {"count": 0, "seconds": 1}}, "`count of `rate`` takes", id="a rate of nothing"),
        pytest.param({"rate": {"count": 1, "seconds": 86_401}}, "from 1 to 86,400", id="a span of more than a day"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits, words):
    with pytest.raises(InvalidFlow) as refused:
        checked_limits(limits)
    assert words in str(refused.value)


def test_a_create_that_asks_for_nothing_has_no_flow():
    assert checked_flow(of_workflow=ONE) is None
    assert checked_flow(priority=0, delay=0) is None


def test_debounce_brings_its_key():
    assert checked_flow(debounce={"key": "k", "seconds": 5, "longest": 60}) == Flow("k", debounce=Debounce(5, 60, "k"))


def test_only_what_is_limited_or_put_off_is_held():
    assert not Flow("k", singleton=True).is_held
    assert not Flow(priority=7, limits=ONE).is_held  # without a key
    assert all(flow.is_held for flow in (Flow(delay_ms=1), Flow("k", limits=ONE), Flow("k", limits=TWO_A_MINUTE)))


def test_as_many_of_a_key_are_admitted_as_there_are_places():
    three = [held(number, limits=FlowLimits(concurrency_per_key=2)) for number in (1, 2, 3)]
    assert admit(three, 0, [], AT) == ([1, 2], None)
    assert admit(three, 1, [], AT) == ([1], None)
    assert admit(three, 2, [], AT) == ([], None)


def test_each_instance_goes_by_the_limit_that_it_was_created_under():
    before, after = held(1, limits=ONE), held(2, limits=FlowLimits(concurrency_per_key=3))
    assert admit([after, before], 1, [], AT) == ([2], None)
    assert admit([before, after], 1, [], AT) == ([], None)  # it does not overtake


def test_a_rate_holds_in_every_span_and_says_when_there_is_a_place():
    three = [held(number, limits=TWO_A_MINUTE) for number in (1, 2, 3)]
    assert admit(three, 0, [], AT) == ([1, 2], AT + 60_000)
    assert admit(three, 0, [AT - 59_999, AT - 10], AT) == ([], AT + 1)
    assert admit(three, 0, [AT - 60_000, AT - 10], AT) == ([1], AT - 10 + 60_000)
    assert next_start_at(three[0], [AT - 59_999, AT - 10], AT) == AT + 1
    assert next_start_at(three[0], [AT - 60_000, AT - 10], AT) is None


def test_more_than_one_claim_takes_are_looked_at_again_at_once():
    many = [held(number, limits=FlowLimits(concurrency_per_key=10_000)) for number in range(1, ADMITTED_MOST + 1)]
    assert admit(many, 0, [], AT).again_at == AT


def test_notes_are_made_for_what_is_held_and_for_places_that_become_free():
    row = held(5, until=AT + 100)
    begun = replace(row, held_until=None)
    over = replace(begun, status=ev.COMPLETE)
    of_key = ("", "playground", "order-7")
    assert looks(None, row) == [Look(AT + 100, 5, *of_key)]
    assert looks(row, row) == []
    assert looks(row, replace(row, held_until=AT + 200)) == [Look(AT + 200, 5, *of_key)]
    assert looks(row, replace(row, status=ev.PAUSED)) == []
    assert looks(replace(row, status=ev.PAUSED), row) == [Look(AT + 100, 5, *of_key)]
    assert looks(row, begun) == []
    assert looks(begun, over, AT) == looks(begun, None, AT) == [Look(AT, 5, *of_key)]
    assert looks(row, replace(row, status=ev.TERMINATED, held_until=None)) == []  # it had no place
    assert looks(over, row) == [Look(AT + 100, 5, *of_key)]  # a restart
    assert looks(None, replace(row, held_until=None, flow_key=None)) == []
