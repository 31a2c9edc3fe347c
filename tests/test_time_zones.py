"""A datetime keeps its time zone in the journal, so that a day later is the same time; workers know zones."""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sandbox_support import held
from semantics_support import isolated, outcome, playing, story

from playground.sandbox.layers import visible_files
from playground.sandbox.tiers import NAMESPACES, USER
from playground.workflows import events as ev
from playground.workflows import values

BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = {
    "an ordinary one": datetime(2026, 3, 28, 9, tzinfo=BERLIN),
    "the first of an hour that comes twice": datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    "the second of an hour that comes twice": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
    "in an hour that is left out": datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),
    "before zones": datetime(1, 1, 1, tzinfo=BERLIN),
    "at the end of time": datetime(9999, 12, 31, 23, tzinfo=ZoneInfo("Pacific/Kiritimati")),
    "with microseconds": datetime(2026, 3, 28, 9, 0, 0, 123456, tzinfo=ZoneInfo("America/Argentina/Buenos_Aires")),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_a_datetime_comes_back_in_its_zone(name: str) -> None:
    moment = MOMENTS[name]
    back = values.decode(values.encode({"at": moment}))["at"]
    assert (back, back.tzinfo, back.fold, back.isoformat()) == (moment, moment.tzinfo, moment.fold, moment.isoformat())


def test_it_is_stored_as_the_standard_writes_it() -> None:
    assert values.encode(MOMENTS["an ordinary one"]) == {"$datetime": "2026-03-28T09:00:00+01:00[Europe/Berlin]"}
    assert values.encode(datetime(2026, 3, 28, 9, tzinfo=UTC)) == {"$datetime": "2026-03-28T09:00:00+00:00"}


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("2026-03-28T09:00:00+01:00", "2026-03-28T09:00:00+01:00"),  # as values were stored before
        ("2026-03-28T09:00:00", "2026-03-28T09:00:00"),
        ("2026-03-28T09:00:00+01:00[Mars/Olympus]", "2026-03-28T09:00:00+01:00"),
        ("2026-03-28T09:00:00+01:00[../../../etc/passwd]", "2026-03-28T09:00:00+01:00"),
        ("2026-03-28T09:00:00+01:00[/etc/passwd]", "2026-03-28T09:00:00+01:00"),
        ("2026-03-28T09:00:00+01:00[Europe]", "2026-03-28T09:00:00+01:00"),
        ("2026-03-28T09:00:00+01:00[]", "2026-03-28T09:00:00+01:00"),
        ("2026-03-28T09:00:00[Europe/Berlin]", "2026-03-28T09:00:00"),
    ],
)
def test_what_has_no_zone_that_is_known_keeps_its_offset(stored: str, shown: str) -> None:
    assert values.decode({"$datetime": stored}).isoformat() == shown


def test_where_the_rules_of_a_zone_have_changed_the_moment_holds() -> None:
    back = values.decode({"$datetime": "2026-03-28T09:00:00+07:00[Europe/Berlin]"})
    assert (back, back.tzinfo) == (datetime(2026, 3, 28, 2, tzinfo=UTC), BERLIN)
    assert (
        values.decode({"$datetime": "9999-12-31T23:00:00-12:00[Europe/Berlin]"}).isoformat()
        == "9999-12-31T23:00:00-12:00"
    )


def test_a_zone_without_a_key_of_the_usual_kind_is_stored_as_its_offset() -> None:
    with open(f"{visible_files.time_zones()}/Europe/Berlin", "rb") as file:
        named = ZoneInfo.from_file(file, key="not] a key")
    with open(f"{visible_files.time_zones()}/Europe/Berlin", "rb") as file:
        unnamed = ZoneInfo.from_file(file)
    for zone in (named, unnamed):
        assert values.encode(datetime(2026, 3, 28, 9, tzinfo=zone)) == {"$datetime": "2026-03-28T09:00:00+01:00"}


@story
async def test_a_day_later_is_at_the_same_time_of_the_clock_after_a_replay() -> None:
    body = """
    from zoneinfo import ZoneInfo
    due = await step.do("due", lambda: datetime(2026, 3, 28, 9, tzinfo=ZoneInfo("Europe/Berlin")))
    await step.sleep("a while", "1 hour")
    return [(due + timedelta(days=1)).isoformat(), str(due.tzinfo)]
    """
    async with playing(body) as (_, run):
        assert await run.result() == ["2026-03-29T09:00:00+02:00", "Europe/Berlin"]
        assert len([event for event in await run.journal() if event.type == ev.EXECUTION_STARTED]) == 2


@story
async def test_params_and_payloads_keep_it_too() -> None:
    given = datetime(2026, 3, 28, 9, tzinfo=BERLIN)
    later = "(event['payload']['at'] + timedelta(days=1)).isoformat()"
    assert await outcome(f"return {later}", {"at": given}) == "2026-03-29T09:00:00+02:00"
    body = 'got = await step.wait_for_event("go", "go")\nreturn got["payload"]["at"]'
    async with playing(body) as (_, run):
        await run.send_event("go", {"at": given})
        assert (await run.result()).tzinfo == BERLIN


@story
async def test_a_real_worker_knows_the_zones() -> None:
    body = """
    from zoneinfo import ZoneInfo, available_timezones
    assert len(available_timezones()) > 400
    return datetime(2026, 3, 29, 9, 0, tzinfo=ZoneInfo("Europe/Berlin")).isoformat()
    """
    async with isolated(body) as (_, run):
        assert await run.result() == "2026-03-29T09:00:00+02:00"


@pytest.fixture
def machine_without_zones() -> Iterator[None]:
    zoneinfo.reset_tzpath([])
    yield
    zoneinfo.reset_tzpath()


@pytest.mark.parametrize(
    "without", [frozenset(), frozenset({NAMESPACES, USER})], ids=["in namespaces", "without namespaces"]
)
def test_workers_of_a_machine_without_zones_have_those_of_the_package(
    machine_without_zones: None, without: frozenset[str]
) -> None:
    found = visible_files.time_zones()
    assert found is not None and found.endswith("tzdata/zoneinfo")
    source = (
        "import zoneinfo\nr = [str(zoneinfo.ZoneInfo('Asia/Tokyo')), 'Asia/Tokyo' in zoneinfo.available_timezones()]"
    )
    with held(without=without, unsafe=True) as sandbox:
        answer, _ = sandbox.run(source)
    assert answer == "['Asia/Tokyo', True]"


def test_a_day_over_a_change_of_clocks_differs_from_an_offset() -> None:
    """Why the zone is kept: the same sum, done with the offset alone, is an hour off."""
    at = MOMENTS["an ordinary one"]
    with_offset = datetime.fromisoformat(at.isoformat())
    assert at + timedelta(days=1) != with_offset + timedelta(days=1)
