"""Names, durations and values: the same in every execution, and refused with a sentence where they can't be."""

import time

from aio import story
from cases_support import UNDISTURBED, in_every_way, play

from playground.workflows import events as ev

# A few of what case 25 and case 38 print, `label => what came of it`: the rest must be alike in each execution.
VALUES = {
    "decimal": 'NotSerialisableError: The result of step "decimal" is not serialisable: $: Decimal',
    "bigint": f"int {2**70}",
    "minus zero": "float -0.0",
    "bytes": "bytes b'\\x00\\xff'",
    "set": "set {",
    "dollar": "dict {'$bytes': 'x'}",
    "namedtuple": "list [1, 2]",
    "aware": "datetime datetime.datetime(2026, 3, 29, 2, 30, tzinfo=datetime.timezone.utc)",
}
DURATIONS = {
    "sleep '1 second'": "None",
    "sleep 'one second'": "duration",
    "sleep '-1 seconds'": "duration",
    "sleep '366 days'": "longer than 365 days",
    "until past": "You can't sleep until a time in the past",
    "event dot": "WorkflowFatalError",
    "wait timeout '366 days'": "from 1 second to 365 days",
    "config limit only": "delay",
    "config retry typo": "retry",
    "callback string": "TypeError",
}


@in_every_way
@story
async def test_25_every_value_comes_back_alike_or_is_refused_by_name(way):
    ended = await play("25", way)
    assert ended.output == "first and second the same"
    lines = [line for line in ended.printed(replay=True) if " => " in line]
    said = dict(line.split(" => ", 1) for line in lines)
    assert len(set(lines)) == len(said), "a value that comes back otherwise in another execution"
    for name, beginning in VALUES.items():
        assert said[name].startswith(beginning), name


@in_every_way
@story
async def test_38_names_durations_and_configs_are_taken_or_refused_alike(way):
    ended = await play(
        "38", way, begin=int(time.time() * 1000)
    )  # since what is past is told by the workflow's own clock
    assert ended.output == 1
    said = dict(line.split(" => ", 1) for line in ended.printed(replay=True) if " => " in line)
    for label, word in DURATIONS.items():
        assert word in said[label], said[label]
    assert ended.step("s").status == "completed"


@in_every_way
@story
async def test_52_what_a_callback_changes_outside_itself_is_gone_after_a_replay(way):
    changed = {"total": 5, "items": ["a"], "count": 1, "log": 1}
    kept = {"total": 0, "items": [], "count": 0, "log": 0}
    assert (await play("52", way)).output == (changed if way == UNDISTURBED else kept)


@in_every_way
@story
async def test_32_five_sleeps_in_a_row_do_not_drift(way):
    ended = await play("32", way)
    assert isinstance(ended.output, float)
    began = ended.state.created_at
    assert [event.at - began for event in ended.events(ev.SLEEP_COMPLETED)] == [1_000, 2_000, 3_000, 4_000, 5_000]


@in_every_way
@story
async def test_14_a_zone_is_known_by_its_name(way):
    assert (await play("14", way)).output == "2026-03-29T09:00:00+02:00"
