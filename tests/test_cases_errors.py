"""The error that a workflow catches is the one that was raised, in every execution: class, attributes, members, cause
and notes.

semantics.md, section 2, "failure" of the life of a `do`; behaviours 36 and 43.
"""

import pytest
from aio import story
from cases_support import HIBERNATED, REPLAYED, in_every_way, play
from semantics_support import attempts, workflow

from playground.workflows import events as ev

RETURNED = workflow(
    """
    import json
    async def bad():
        return json.loads("{oops")
    async def worse():
        raise ValueError("no")
    once = {"retries": {"limit": 0, "delay": 0}}
    got = await asyncio.gather(
        step.do("bad", bad, config=once),
        step.do("worse", worse, config=once),
        step.do("good", lambda: 1),
        return_exceptions=True,
    )
    await step.sleep("a while", "4 seconds")
    return [[type(it).__name__, isinstance(it, ValueError)] for it in got]
    """,
    isolated=True,
)
UNDONE = """
from workers import NonRetryableError, WorkflowEntrypoint

class Declined(NonRetryableError):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def undo(info):
            print(f"undone for {type(info['error']).__name__} {info['error'].code}")
        await step.do("reserve", lambda: 1, rollback=undo)
        await step.sleep("a while", "4 seconds")
        async def charge():
            raise Declined("declined", code=51)
        await step.do("charge", charge)
"""
CAUGHT = workflow(
    """
    async def stop():
        raise asyncio.CancelledError("by itself")
    try:
        got = await step.do("stop", stop, config={"retries": {"limit": 0, "delay": 0}})
    except asyncio.CancelledError as cancelled:
        got = f"cancelled {cancelled}"
    await step.sleep("a while", "1 day")
    return got
    """,
    isolated=True,
)
# `name class base text attribute=value` of each error of case 19, as Python has it where it is raised.
RAISED = {
    "os": "FileNotFoundError OSError [Errno 2] No such file: '/x' errno=2",
    "unicode": "UnicodeDecodeError UnicodeError 'utf-8' codec can't decode byte 0xff in position 0: bad start=0",
    "import": "ImportError Exception x name='pandas'",
    "key": "KeyError LookupError 'a' args=('a',)",
    "two args": "ValueError Exception ('a', 3) args=('a', 3)",
    "no args": "RuntimeError Exception  args=()",
    "bytes": "ValueError Exception b'x' args=(b'x',)",
    "called": "CalledProcessError SubprocessError Command 'ls' returned non-zero exit status 3. returncode=3",
    "timeout": "TimeoutError OSError late args=('late',)",
}


@in_every_way
@story
async def test_03_an_attribute_set_by_the_constructor_is_there_whenever_the_error_is_caught(way):
    ended = await play("03", way)
    assert ended.output == 51
    assert set(ended.printed(replay=True)) == {"declined with 51"}


@in_every_way
@story
async def test_04_an_exception_group_is_split_by_except_star_in_every_execution(way):
    assert (await play("04", way)).output == ["ValueError", "KeyError"]


@in_every_way
@story
async def test_17_an_error_of_the_standard_library_is_caught_by_its_base(way):
    ended = await play("17", way)
    assert ended.output == {}
    assert set(ended.printed(replay=True)) == {"first ValueError"}


@in_every_way
@story
async def test_18_an_exception_class_inside_the_workflow_class_is_caught_by_it(way):
    assert (await play("18", way)).output == "no more chairs"


@in_every_way
@story
async def test_19_builtin_errors_keep_what_their_constructors_were_given(way):
    ended = await play("19", way)
    assert {name: said for name, said in ended.output.items() if name != "object"} == RAISED
    assert ended.output["object"].startswith(
        "ValueError Exception <object object at 0x"
    )  # an object can't be kept, its text can
    seen = [line for line in ended.printed(replay=True) if line.startswith("SEEN ")]
    assert len(set(seen)) == len(RAISED) + 1, "the same error looks otherwise in another execution"


@in_every_way
@story
async def test_36_a_returned_exception_is_of_the_same_class_in_every_execution(way):
    assert (await play(RETURNED, way)).output == [["JSONDecodeError", True], ["ValueError", True], ["int", False]]


@in_every_way
@story
async def test_36_a_rollback_handler_is_given_the_error_with_its_attributes(way):
    ended = await play(UNDONE, way)
    assert (ended.state.status, ended.state.rollback) == (ev.ERRORED, "complete")
    assert set(ended.printed(replay=True)) == {"undone for Declined 51"}


@in_every_way
@story
async def test_08_a_cancelled_error_of_the_callbacks_own_is_a_failed_attempt_and_tried_again(way):
    ended = await play("08", way)
    assert ended.output == "stopped"
    if way != REPLAYED:  # where attempts are lost, the one that was to fail may be among them
        step = ended.step("stop helper")
        assert [attempt.error and attempt.error["name"] for attempt in step.attempts] == ["CancelledError", None]


@in_every_way
@story
async def test_08_a_cancelled_error_of_a_callbacks_own_can_be_caught_and_the_run_goes_on_without_its_worker(way):
    ended = await play(CAUGHT, way)
    assert ended.output == "cancelled by itself"
    assert ended.step("stop").status == "errored"
    if way == HIBERNATED:
        assert [it.reason for it in ended.state.executions] == ["hibernated", "completed"]


@in_every_way
@story
async def test_26_a_system_exit_of_a_step_is_caught_by_the_workflow(way):
    ended = await play("26", way)
    assert ended.output == "the tool left with 3"
    assert ended.step("leave").error["name"] == "SystemExit"


@in_every_way
@story
async def test_11_a_system_exit_of_a_step_that_nobody_catches_ends_the_run_after_its_retries(way):
    ended = await play("11", way)
    assert (ended.error["name"], ended.error["message"]) == ("SystemExit", "bye")
    failed = [attempt.error["name"] for attempt in ended.step("leave").attempts]
    assert [name for name in failed if name != "WorkerLost"] == ["SystemExit"] * 2


@in_every_way
@story
async def test_09_a_stop_iteration_of_a_callback_is_an_error_with_a_message(way):
    assert (await play("09", way)).output == ["RuntimeError: coroutine raised StopIteration"] * 2


@in_every_way
@story
async def test_41_one_error_object_raised_by_three_steps_is_caught_three_times(way):
    assert (await play("41", way)).output == ["again"] * 3


@in_every_way
@story
async def test_07_a_callback_that_swallows_its_timeout_has_timed_out_all_the_same(way):
    ended = await play("07", way)
    assert ended.output == "WorkflowTimeoutError: Execution timed out after 1000ms"


@in_every_way
@story
async def test_42_a_delay_function_is_given_the_error_of_the_attempt_before(way):
    ended = await play("42", way)
    assert ended.output[-1] == len(ended.step("flaky").attempts)
    if way != REPLAYED:  # which loses the attempts that were to fail
        assert attempts(ended.step("flaky")) == [(1, "attempt 1"), (2, "attempt 2"), (3, None)]
        assert [attempt.retry_delay_ms for attempt in ended.step("flaky").attempts] == [100, 100, None]
        # What a callback changes outside itself is gone with its execution.
        seen = [3] if way == HIBERNATED else [1, "ConnectionError 1", 2, "ConnectionError 2", 3]
        assert ended.output == seen


@in_every_way
@story
async def test_23_a_task_group_whose_step_fails_gives_up_the_others_and_is_caught(way):
    ended = await play("23", way)
    assert ended.output == ["no"]
    assert [event.key.name for event in ended.events("sleep_cancelled")] == ["nap"]
    assert ended.step("slow").output == 1


@in_every_way
@story
async def test_13_a_gather_whose_step_fails_ends_the_run_and_what_was_open_is_cancelled(way):
    ended = await play("13", way)
    assert (ended.error["name"], ended.error["message"]) == ("NonRetryableError", "no")
    assert [ended.step(name).status for name in ("nap", "w")] == ["cancelled"] * 2


@in_every_way
@story
async def test_16_the_cause_and_the_notes_of_an_error_are_kept(way):
    error = (await play("16", way)).error
    assert (error["name"], error["message"], error["notes"]) == ("RuntimeError", "cannot read the order", ["order 17"])
    assert error["cause"]["name"] == "ValueError"
    assert error["cause"]["message"] == "invalid literal for int() with base 10: 'x1'"
    assert error["cause"]["line"] == 6
    assert "context" not in error  # it was raised from something, which suppresses it


@in_every_way
@story
async def test_53_the_error_in_a_group_in_a_group_is_kept_with_its_line(way):
    error = (await play("53", way)).error
    [inner] = error["errors"]
    [real] = inner["errors"]
    assert (real["name"], real["message"], real["line"]) == ("ValueError", "order 1 has no price", 6)


@in_every_way
@story
async def test_54_every_member_of_a_group_is_kept(way):
    members = (await play("54", way)).error["errors"]
    if way != REPLAYED:  # where workers die between the commits, any of the three may be the first to come to its error
        # It may have called off the others before they came to theirs.
        assert members[0]["message"] == "order 0 has no price"
    assert {it["message"] for it in members} <= {f"order {i} has no price" for i in range(3)}
    assert {it["line"] for it in members} == {6}


@pytest.mark.parametrize(
    ("case", "name", "said", "line"),
    [
        ("33", "NotSerialisableError", "The output of the workflow is not serialisable: $: async_generator", None),
        ("44", "SyntaxError", "'break', 'continue' and 'return' cannot appear in an except* block", 12),
        ("55", "TypeError", "TenantWorkflow.__init__() takes 1 positional argument but 3 were given", None),
        ("56", "JSONDecodeError", "Expecting property name enclosed in double quotes", 3),
    ],
)
@story
async def test_a_workflow_that_cannot_begin_or_end_says_why(case, name, said, line):
    error = (await play(case, HIBERNATED)).error
    assert error["name"] == name
    assert said in error["message"]
    assert line is None or error["line"] == line
