"""What readers of a stream receive of any journal that an engine could write, and after a crash at any commit: each
value that stands, once.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_model import Model
from journal_parts import STREAMS, journal
from semantics_support import playing, story

from playground.workflows import events as ev
from playground.workflows.events import StepKey
from playground.workflows.state import fold
from playground.workflows.streams import StreamItems, StreamReset, StreamValue, standing_values

numbers = st.lists(st.integers(0, 2**24), min_size=120, max_size=120)


def kept_from(had: list[StreamValue], items: list[StreamValue | StreamReset]) -> list[StreamValue]:
    for item in items:
        if isinstance(item, StreamReset):
            had = [value for value in had if value.step != item.step]
        else:
            had = [*had, item]
    return had


@given(moves=numbers, cut=st.integers(0, 300), forked=st.booleans())
@settings(max_examples=200)
def test_a_reader_who_is_cut_off_anywhere_has_what_stands_and_nothing_twice(
    moves: list[int], cut: int, forked: bool
) -> None:
    model = Model(Random(moves[0]), chaos=False, forked=forked)
    for number in filter(None, moves):
        model.move(number)
    events = journal(model.commits)
    state = fold(events)
    for stream in STREAMS:
        before, after = StreamItems(stream), StreamItems(stream)
        had = kept_from([], [item for event in events[:cut] for item in before.of_event(event)])
        had = kept_from(had, [item for event in events for item in after.of_event(event) if event.seq > cut])
        assert had == standing_values(stream, events)
        assert len({(value.step, value.attempt, value.number) for value in had}) == len(had)
        by_step: dict[StepKey, list[StreamValue]] = {}
        for value in had:
            by_step.setdefault(value.step, []).append(value)
        for of_step in by_step.values():
            assert len({value.attempt for value in of_step}) == 1
            assert [value.number for value in of_step] == list(range(1, len(of_step) + 1))
        shown = state.streams[stream].parts if stream in state.streams else {}
        assert {step: (part.attempt, part.values) for step, part in shown.items()} == {
            step: (of_step[0].attempt, len(of_step)) for step, of_step in by_step.items()
        }
        latest = {step.key: step.attempt for step in state.steps.values()}
        assert all(value.attempt == latest[value.step] for value in had), "what earlier attempts appended is void"


def test_the_model_writes_what_matters_here() -> None:
    """Else the test above would show nothing."""
    types: set[str] = set()
    resets = 0
    for seed in range(60):
        pick = Random(seed)
        model = Model(pick, chaos=False, forked=False)
        for _ in range(120):
            model.move(pick.randrange(2**24))
        events = journal(model.commits)
        types |= {event.type for event in events}
        for stream in STREAMS:
            reader = StreamItems(stream)
            resets += sum(isinstance(item, StreamReset) for event in events for item in reader.of_event(event))
    assert {ev.STREAM_APPENDED, ev.STREAM_TRUNCATED, ev.WORKFLOW_RESTARTED} <= types
    assert resets >= 5


APPENDS = """
env = self.env
@step.do("first", config={"retries": {"limit": 3, "delay": 1000}})
async def first(ctx):
    for number in range(2):
        await env.STREAMS.append("tokens", f"first {number}@{ctx.attempt}")
        await asyncio.sleep(1)
    if ctx.attempt == 1:
        raise ConnectionError("not yet")
await first()
"""


@pytest.mark.parametrize(("victim", "moment"), [("worker", "before"), ("server", "after")])
@story
async def test_a_crash_at_any_commit_loses_and_doubles_no_value(victim: str, moment: str) -> None:
    async with playing(APPENDS) as (tester, run):
        await run.result()
        commits = tester.commits
    for commit in range(2, commits + 1):
        async with playing(APPENDS) as (tester, run):
            tester.crash(victim, commit=commit, moment=moment)
            await run.result()
            tester.no_more_crashes()  # values that come together save a commit
            reader = StreamItems("tokens")
            had = kept_from([], [item for event in await run.journal() for item in reader.of_event(event)])
            last = (await run.step("first")).attempt
            assert [value.value for value in had] == [f"first {number}@{last}" for number in range(2)], commit
