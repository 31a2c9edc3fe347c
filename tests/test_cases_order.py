"""A replay goes the way of the first execution: who came first, which step is meant, steps in steps or called again.

semantics.md, sections 2 and "Replay goes the way that the first execution went"; behaviours 37 to 41.
"""

import pytest
from aio import story
from cases_support import REPLAYED, in_every_way, play, times_run

from playground.workflows import events as ev

NEW_LINE = "this line is printed for the first time"


@in_every_way
@story
async def test_20_chains_that_share_step_names_get_their_own_results_again(way):
    ended = await play("20", way)
    assert ended.output == [[0, 0], [1, 2], [2, 4]]
    assert set(ended.printed(replay=True)) == {"PAIRS [[0, 0], [1, 2], [2, 4]]"}
    assert [ended.step("double", count).output for count in (1, 2, 3)] == [
        4,
        2,
        0,
    ]  # the last to be called was the first to be done


@in_every_way
@story
async def test_21_a_timeout_around_a_step_that_has_fired_fires_again(way):
    ended = await play("21", way)
    assert ended.output == "fallback"
    assert set(ended.printed(replay=True)) == {"ANSWER fallback"}
    assert ended.step("slow").output == "slow answer"  # who is cancelled while waiting for a step leaves it running
    assert ended.state.ended_at - ended.state.created_at == 6_000


@in_every_way
@story
async def test_28_as_completed_gives_the_same_order_again(way):
    ended = await play("28", way)
    assert ended.output == ["answer 2", "answer 1", "answer 0"]
    assert [ended.step("store", count).output for count in (1, 2, 3)] == [f"stored answer {i}" for i in (2, 1, 0)]
    assert len(set(ended.printed(replay=True))) == 1


@in_every_way
@story
async def test_29_the_winner_of_a_race_wins_again(way):
    ended = await play("29", way)
    assert ended.output == ["fast"]
    assert [key.name for key in ended.state.steps] == ["ask slow", "ask fast", "tell fast", "a while"]


@pytest.mark.parametrize("case", ["37", "62"])
@in_every_way
@story
async def test_37_branches_that_decorate_the_same_names_get_their_own_results(case, way):
    assert (await play(case, way)).output == [10, 20, 30]


@in_every_way
@story
async def test_40_a_function_decorated_again_in_a_loop_is_the_one_of_its_round(way):
    assert (await play("40", way)).output == ["report of Lisbon", "report of Oslo"]


@in_every_way
@story
async def test_61_a_parameter_named_like_a_step_is_given_that_steps_result(way):
    assert (await play("61", way)).output == [1, 2, 20]


@in_every_way
@story
async def test_60_a_decorated_step_called_in_a_loop_runs_each_time(way):
    ended = await play("60", way)
    assert ended.output == {"rounds": 3}
    assert [ended.step("ask", count).output for count in (1, 2, 3)] == ["queued", "half way", "done"]


@in_every_way
@story
async def test_05_what_is_printed_after_a_nested_step_was_replayed_is_new(way):
    ended = await play("05", way)
    assert ended.output == 3
    assert ended.printed().count(NEW_LINE) == 1


@in_every_way
@story
async def test_58_a_nested_step_shifts_no_count(way):
    ended = await play("58", way)
    assert ended.output == {"listing": "body of the list", "detail": "body of the detail"}
    assert set(ended.printed(replay=True)) == {"DETAIL body of the detail"}
    inner = [event.as_json()["step"] for event in ended.events(ev.STEP_STARTED, "fetch")]
    load = {"kind": "do", "name": "load", "count": 1}
    assert inner == [
        {"kind": "do", "name": "fetch", "count": 1, "parent": load},
        {"kind": "do", "name": "fetch", "count": 1},
    ]


@pytest.mark.parametrize("delay", ["1 second", "4 seconds"])
@in_every_way
@story
async def test_59_a_retry_of_the_outer_step_finds_the_inner_one_done(delay, way):
    ended = await play("59", way, params={"delay": delay})
    assert ended.output == 1
    assert len(ended.events(ev.STEP_STARTED, "charge")) == len(ended.events(ev.STEP_COMPLETED, "charge")) == 1
    if way != REPLAYED:  # which loses the attempt of the inner one too
        assert times_run(ended, "CHARGED") == 1


@in_every_way
@story
async def test_22_the_clean_up_of_a_cancelled_branch_is_a_step_that_runs(way):
    ended = await play("22", way)
    assert ended.output == 2
    assert ended.step("clean up").output == "cleaned"
    assert set(ended.printed(replay=True)) == {"cancelled"}


@in_every_way
@story
async def test_43_a_step_runs_in_the_handler_of_a_cancelled_run(way):
    assert (await play("43", way)).output == "still works"


@in_every_way
@story
async def test_48_a_task_that_outlives_its_step_goes_on_beside_the_run(way):
    ended = await play("48", way)
    assert ended.output == "done"
    assert ended.step("spawn").output == "started"


@in_every_way
@story
async def test_24_context_variables_generators_and_queues_around_steps(way):
    assert (await play("24", way)).output == {
        "save": {"saved": 7, "by": "ada"},
        "room": "room",
        "numbers": [0, 1],
        "closures": [2, 2, 2],
        "partial": 255,
        "enum": ["red", 3],
        "queue": [0, 10, 20],
    }


@in_every_way
@story
async def test_39_methods_callables_and_every_form_of_the_decorator_are_steps(way):
    ended = await play("39", way)
    attempts = [
        ended.output[1],
        *ended.output[10:],
    ]  # the direct form is the same step: it is given ctx by keyword, and by position
    assert [*ended.output[:1], *ended.output[2:10]] == [
        "bare",
        "keyword only",
        ["bare", 3],
        3,
        "static",
        "TenantWorkflow",
        "called",
        3,
        "bare",
    ]
    if way == REPLAYED:  # a worker may die with the commit that announces an attempt
        assert all(attempt in (1, 2) for attempt in attempts)
    else:
        assert attempts == [1, 1, 1]
