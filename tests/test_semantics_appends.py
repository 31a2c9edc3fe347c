"""Streams out of steps: written at least once, read exactly once, whatever dies; and what cannot be appended."""

import asyncio
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from semantics_support import failure, isolated, playing, story

from playground.engine.bindings.secrets import Secrets
from playground.engine.bindings.streams import Streams
from playground.engine.forks import plan
from playground.engine.instances import WorkflowInstance
from playground.testing import Run, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.events import StepKey
from playground.workflows.streams import StreamReset, StreamValue, standing_values

Item = StreamValue | StreamReset

WORDS = """
@step.do("answer", config={"retries": {"limit": 3, "delay": 1000}})
async def answer(ctx):
    for word in ("one ", "two ", "three"):
        await env.STREAMS.append("tokens", f"{word}@{ctx.attempt}")
    if ctx.attempt < event["payload"]:
        raise ConnectionError("not yet")
    return "whole"
return await answer()
"""


def body(text: str) -> str:
    return "env = self.env\n" + textwrap.dedent(text).strip("\n")


def words(attempt: int) -> list[str]:
    return [f"{word}@{attempt}" for word in ("one ", "two ", "three")]


def instance(tester: WorkflowTester, run: Run) -> WorkflowInstance:
    return WorkflowInstance(tester.engine, run.tenant, run.id)


def kept(items: Sequence[Item]) -> list[StreamValue]:
    """What a reader has who drops a step's values at its reset, and who refuses to read a value twice or miss one."""
    had: list[StreamValue] = []
    for item in items:
        if isinstance(item, StreamReset):
            had = [value for value in had if value.step != item.step]
            continue
        of_step = [value for value in had if value.step == item.step]
        assert all(value.attempt == item.attempt for value in of_step), "a new attempt comes after a reset"
        assert item.number == len(of_step) + 1, "none is lost, none comes twice"
        had.append(item)
    return had


@story
async def test_values_come_in_order_before_the_result_and_in_one_event_of_the_journal():
    async with playing(body(WORDS), 1) as (tester, run):
        assert await run.result() == "whole"
        assert await run.stream("tokens") == words(1)
        items = [item async for item in instance(tester, run).stream("tokens")]
        assert [(item.attempt, item.number, item.value) for item in items] == [
            (1, number, word) for number, word in enumerate(words(1), 1)
        ]
        journal = await run.journal()
        (appended,) = [event for event in journal if event.type == ev.STREAM_APPENDED]
        assert appended.key == StepKey(ev.DO, "answer", 1)
        assert appended.data == {"stream": "tokens", "attempt": 1, "first": 1, "count": 3, "values": words(1)}
        assert appended.seq < next(event.seq for event in journal if event.type == ev.ATTEMPT_COMPLETED)


@story
async def test_an_attempt_that_is_tried_again_begins_the_stream_anew_even_if_it_appends_nothing():
    text = """
    @step.do("answer", config={"retries": {"limit": 3, "delay": 1000}})
    async def answer(ctx):
        if ctx.attempt == 1:
            await env.STREAMS.append("tokens", "half")
            raise ConnectionError("not yet")
    await answer()
    """
    async with playing(body(WORDS), 3) as (tester, run):
        assert await run.result() == "whole"
        items = [item async for item in instance(tester, run).stream("tokens")]
        resets = [item for item in items if isinstance(item, StreamReset)]
        assert [(reset.step.name, reset.attempt) for reset in resets] == [("answer", 2), ("answer", 3)]
        assert [value.value for value in kept(items)] == words(3) == await run.stream("tokens")
        assert (await run.state()).streams_json() == [
            {
                "name": "tokens",
                "values": 3,
                "dropped": 0,
                "steps": [
                    {"step": {"kind": "do", "name": "answer", "count": 1}, "attempt": 3, "values": 3},
                ],
            }
        ]
    async with playing(body(text)) as (_, run):
        await run.result()
        assert await run.stream("tokens") == []


@story
async def test_who_goes_on_after_any_value_or_reset_reads_exactly_the_rest():
    async with playing(body(WORDS), 3) as (tester, run):
        await run.result()
        handle = instance(tester, run)
        items = [item async for item in handle.stream("tokens")]
        for place, item in enumerate(items, 1):
            assert [each async for each in handle.stream("tokens", after=item)] == items[place:]


@story
async def test_a_reader_follows_while_the_step_runs():
    text = """
    @step.do("answer")
    async def answer():
        await env.STREAMS.append("tokens", "first")
        await asyncio.sleep(60)
        await env.STREAMS.append("tokens", "second")
    await answer()
    """
    async with playing(body(text), skip=False) as (tester, run):
        reading = aiter(instance(tester, run).stream("tokens"))
        assert (await anext(reading)).value == "first"
        assert (await run.step("answer")).status == "running"
        rest = asyncio.ensure_future(anext(reading))
        await tester.advance("60 seconds")
        assert (await rest).value == "second"
        assert [item async for item in reading] == []


@story
async def test_steps_that_run_side_by_side_append_to_one_stream_and_begin_anew_each_for_itself():
    text = """
    async def work(ctx):
        for number in range(3):
            await env.STREAMS.append("rows", [ctx.step.name, number])
            await asyncio.sleep(1)
        if ctx.step.name == "b" and ctx.attempt == 1:
            raise ConnectionError("not yet")
    await asyncio.gather(*(step.do(name, work, config={"retries": {"limit": 1, "delay": 1000}}) for name in "ab"))
    """
    async with playing(body(text)) as (tester, run):
        await run.result()
        values = kept([item async for item in instance(tester, run).stream("rows")])
        assert sorted(value.value for value in values) == [[name, number] for name in "ab" for number in range(3)]
        assert {(value.step.name, value.attempt) for value in values} == {("a", 1), ("b", 2)}


@story
async def test_every_storable_value_can_be_appended_and_a_replay_appends_nothing():
    text = """
    value = {"at": datetime(2026, 1, 2, tzinfo=timezone.utc), "raw": b"\\x00", "all": {1}}
    @step.do("append")
    async def append():
        await env.STREAMS.append("values", value)
        await env.STREAMS.append("values", None)
    await append()
    await step.sleep("pause", "1 hour")
    """
    async with playing(body(text), idle_grace_ms=0) as (_, run):
        await run.result()
        assert await run.stream("values") == [
            {"at": datetime(2026, 1, 2, tzinfo=UTC), "raw": b"\x00", "all": {1}},
            None,
        ]
        assert len((await run.state()).executions) == 2


@story
async def test_a_restart_keeps_the_values_of_the_steps_that_it_keeps_and_a_fork_begins_without():
    text = """
    async def work(ctx):
        await env.STREAMS.append("rows", ctx.step.name)
    for name in "abc":
        await step.do(name, work)
    """
    async with playing(body(text)) as (tester, run):
        await run.result()
        before = [item async for item in instance(tester, run).stream("rows")]
        await run.restart("b")
        await run.result()
        items = [item async for item in instance(tester, run).stream("rows")]
        resets = items[len(before) : len(before) + 2]
        assert [(reset.step.name, reset.attempt) for reset in resets] == [("b", None), ("c", None)]
        assert [value.value for value in kept(items)] == ["a", "b", "c"] == await run.stream("rows")
        assert [item async for item in instance(tester, run).stream("rows", after=before[-1])] == items[len(before) :]
        fork = await tester.create(**_copied(await plan(tester.engine, await run.row(), StepKey(ev.DO, "c", 1))))
        await fork.result()
        assert await fork.stream("rows") == ["c"]
        await run.restart()
        await run.result()
        assert await run.stream("rows") == ["a", "b", "c"]


def _copied(fork):
    return {name: getattr(fork.template, name) for name in ("events", "trigger", "parent", "version", "params")}


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (
            'await env.STREAMS.append("tokens", 1)',
            "WorkflowFatalError",
            "env.STREAMS.append is for the callback of a step: outside of steps each replay would append again.",
        ),
        (
            'await step.do("a", lambda: env.STREAMS.append("a/b", 1))',
            "WorkflowFatalError",
            'The stream name "a/b" can\'t be used: it takes 1 to 100 letters, digits, _ and -, not beginning with -.',
        ),
        (
            'await step.do("a", lambda: env.STREAMS.append(["a"], 1))',
            "WorkflowFatalError",
            "The stream name of type list can't be used: it takes 1 to 100 letters, digits, _ and -, not beg",
        ),
        (
            'await step.do("a", lambda: env.STREAMS.append("tokens", object()))',
            "NotSerialisableError",
            'The value for stream "tokens" is not serialisable: $: object (the whole value).',
        ),
        (
            'await step.do("a", lambda: env.STREAMS.progress(101))',
            "WorkflowFatalError",
            "env.STREAMS.progress takes a number from 0 to 100 as percent, not 101.",
        ),
    ],
)
@story
async def test_what_cannot_be_appended_fails_the_step_and_says_why(text, name, message):
    error = await failure(body(text))
    assert (error["name"], error["message"][: len(message)]) == (name, message)


@story
async def test_code_that_a_step_left_running_appends_to_no_attempt_that_is_over():
    text = """
    left = []
    async def later():
        await asyncio.sleep(1)
        try:
            await env.STREAMS.append("tokens", "late")
        except Exception as refused:
            return str(refused)
    @step.do("leaves")
    async def leaves():
        left.append(asyncio.ensure_future(later()))
    await leaves()
    return await left[0]
    """
    async with playing(body(text), allow_divergence=True) as (_, run):
        assert await run.result() == (
            "env.STREAMS.append: no attempt of step leaves runs now. Await appends before the step returns."
        )
        assert await run.stream("tokens") == []


@story
async def test_progress_is_a_value_of_the_stream_of_that_name():
    text = """
    @step.do("copy")
    async def copy():
        await env.STREAMS.progress(0)
        await env.STREAMS.progress(62.5, "5 of 8 files")
        await env.STREAMS.progress(100, stream="copied")
    await copy()
    """
    async with playing(body(text)) as (_, run):
        await run.result()
        assert await run.stream("progress") == [{"percent": 0, "text": ""}, {"percent": 62.5, "text": "5 of 8 files"}]
        assert await run.stream("copied") == [{"percent": 100, "text": ""}]


@story
async def test_values_over_the_limit_are_dropped_and_counted_and_the_step_goes_on():
    text = """
    @step.do("talk")
    async def talk():
        for number in range(20):
            await env.STREAMS.append("tokens", "x" * 98)
        return "done"
    return await talk()
    """
    async with playing(body(text), stream_bytes=1_000) as (_, run):
        assert await run.result() == "done"
        assert await run.stream("tokens") == ["x" * 98] * 10
        (stream,) = (await run.state()).streams_json()
        assert (stream["values"], stream["dropped"]) == (10, 10)
        truncated = [event.data for event in await run.journal() if event.type == ev.STREAM_TRUNCATED]
        assert truncated == [{"stream": "tokens", "dropped": 1}, {"stream": "tokens", "dropped": 9}]


@story
async def test_an_execution_has_so_many_streams_and_a_value_so_many_bytes():
    text = """
    async def names():
        for number in range(4):
            await env.STREAMS.append(f"stream-{number}", number)
    await step.do("names", names)
    """
    error = await failure(body(text), stream_names=3)
    assert error["message"] == (
        "env.STREAMS.append: 3 streams in one execution, which is the limit. Put what differs into the values."
    )
    text = 'await step.do("a", lambda: env.STREAMS.append("tokens", "x" * 2_000))'
    error = await failure(body(text), call_bytes=1_000)
    assert 'value for stream "tokens"' in error["message"]
    assert "2002" in error["message"].replace(",", "")


@story
async def test_secrets_are_redacted_in_values_and_refused_in_names():
    text = """
    token = await env.SECRETS.get("KEY")
    @step.do("talk")
    async def talk():
        await env.STREAMS.append("tokens", {"key": f"it is {token}"})
        await env.STREAMS.append("tokens", "fine")
    await talk()
    """
    env = {"SECRETS": Secrets({"KEY": "hunter22"}), "STREAMS": Streams()}
    async with playing(body(text), env=env) as (_, run):
        await run.result()
        assert await run.stream("tokens") == [{"key": f"it is {ev.REDACTED}"}, "fine"]
    text = """
    token = await env.SECRETS.get("KEY")
    await step.do("talk", lambda: env.STREAMS.append(token, 1))
    """
    error = await failure(body(text), env=env)
    assert error["message"] == "The name of a stream is shown in the journal, so it may not hold a secret."


@story
async def test_a_step_whose_output_is_sensitive_shows_none_of_its_values():
    text = """
    @step.do("talk", config={"sensitive": "output"})
    async def talk():
        await env.STREAMS.append("tokens", "private")
        return "private"
    await talk()
    """
    async with playing(body(text)) as (_, run):
        await run.result()
        assert await run.stream("tokens") == [ev.REDACTED]


@story
async def test_code_without_the_binding_has_no_streams():
    error = await failure('await step.do("a", lambda: self.env.STREAMS.append("tokens", 1))', env={})
    assert error["name"] == "AttributeError"


@story
async def test_a_real_worker_that_is_killed_in_the_middle_begins_anew():
    text = """
    @step.do("answer")
    async def answer(ctx):
        await env.STREAMS.append("tokens", f"half@{ctx.attempt}")
        if ctx.attempt == 1:
            await asyncio.sleep(600)
        await env.STREAMS.append("tokens", f"rest@{ctx.attempt}")
    await answer()
    """
    async with isolated(body(text)) as (tester, run):
        reading = aiter(instance(tester, run).stream("tokens"))
        items = [await anext(reading)]
        await run.kill_worker()
        items += [item async for item in reading]
        assert [value.value for value in kept(items)] == ["half@2", "rest@2"]
        assert standing_values("tokens", await run.journal()) == kept(items)
