"""When a cron expression fires: over both changes of the clocks, what was missed, and what is refused with words."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from playground.engine.cron import ALL, MISSED_MOST, ONCE, SKIP, Cron
from playground.workflows.errors import InvalidSchedule

BERLIN = "Europe/Berlin"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def ms(text: str, zone: str = BERLIN, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1_000


def shown(times: list[int], zone: str = BERLIN) -> list[str]:
    return [datetime.fromtimestamp(at / 1_000, ZoneInfo(zone)).isoformat(timespec="minutes") for at in times]


# In Berlin, 2026: at 2:00 on 29 March it becomes 3:00; at 3:00 on 25 October, 2:00.


def test_a_fixed_time_that_the_spring_leaves_out_fires_right_after_the_change() -> None:
    assert shown(Cron("30 2 * * *", BERLIN).upcoming(ms("2026-03-27T12:00"), 3)) == [
        "2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00",
    ]  # fmt: skip


def test_a_fixed_time_in_the_hour_that_comes_twice_fires_once() -> None:
    assert shown(Cron("30 2 * * *", BERLIN).upcoming(ms("2026-10-24T12:00"), 2)) == [
        "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00",
    ]  # fmt: skip


def test_every_half_hour_goes_by_the_time_that_passes_over_both_changes() -> None:
    for begin in ("2026-03-29T00:00", "2026-10-25T00:00"):
        times = Cron("*/30 * * * *", BERLIN).upcoming(ms(begin), 12)
        assert [after - before for before, after in pairwise(times)] == [30 * MINUTE] * 11


def test_a_day_is_23_or_25_hours_long_where_the_clocks_change() -> None:
    nine = Cron("0 9 * * *", BERLIN)
    before, after = nine.upcoming(ms("2026-03-28T08:00"), 2)
    assert after - before == 23 * HOUR
    before, after = nine.upcoming(ms("2026-10-24T08:00"), 2)
    assert after - before == 25 * HOUR


def test_utc_knows_no_change() -> None:
    times = Cron("30 2 * * *", "UTC").upcoming(ms("2026-03-27T12:00", "UTC"), 4)
    assert [after - before for before, after in pairwise(times)] == [DAY] * 3


@pytest.mark.parametrize("change", ["2026-03-29T00:00", "2026-10-25T00:00"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "*/20 * * * *", "0 * * * *", "15 3 * * *"])
def test_what_was_missed_over_a_change_is_what_would_have_fired(expression: str, change: str) -> None:
    cron, begin = Cron(expression, BERLIN), ms(change)
    end = begin + 30 * HOUR
    fired = [at for at in cron.upcoming(begin, 200) if at <= end]
    assert cron.due(fired[0], end, ALL) == fired


def test_a_firing_that_is_on_time_is_made_by_every_policy() -> None:
    cron, at = Cron("0 9 * * *", "UTC"), ms("2026-05-04T09:00", "UTC")
    for policy in (SKIP, ONCE, ALL):
        assert cron.due(at, at, policy) == cron.due(at, at + 59_000, policy) == [at]
        assert cron.due(at, at - 1, policy) == []


def test_what_was_missed_is_left_out_made_up_for_once_or_each_of_them_is() -> None:
    cron, first = Cron("0 * * * *", "UTC"), ms("2026-05-04T01:00", "UTC")
    now = first + 4 * HOUR + 10_000
    on_time, late = first + 4 * HOUR, [first + n * HOUR for n in range(4)]
    assert cron.due(first, now, SKIP) == [on_time]
    assert cron.due(first, now, ONCE) == [late[-1], on_time]
    assert cron.due(first, now, ALL) == [*late, on_time]
    assert cron.due(first, now + 30 * MINUTE, SKIP) == []
    assert cron.due(first, now + 30 * MINUTE, ONCE) == [on_time]


def test_of_more_than_are_made_up_for_the_latest_are() -> None:
    cron, first = Cron("* * * * *", "UTC"), ms("2025-01-01T00:00", "UTC")
    now = ms("2026-05-04T09:00", "UTC") + 5_000
    made = cron.due(first, now, ALL)
    assert len(made) == MISSED_MOST + 1 and made[-1] == now - 5_000 and made[1] - made[0] == MINUTE
    assert cron.due(first, now, SKIP) == [now - 5_000]


@pytest.mark.parametrize(
    ("expression", "zone", "words"),
    [
        ("* * * *", "UTC", "`cron` takes five fields: minute, hour, day, month and weekday"),
        ("* * * * * *", "UTC", "`cron` takes five fields"),
        ("61 * * * *", "UTC", '"61 * * * *" is no cron expression: Bad minute.'),
        ("0 0 30 2 *", "UTC", "is no cron expression: Bad day-of-month."),
        ("*/0 * * * *", "UTC", "is no cron expression"),
        ("1#2/3 * * * *", "UTC", "is no cron expression"),
        ("0 0 * * 1#2/3", "UTC", "is no cron expression"),
        ("0 9 * * MON" + " " * 120, "UTC", "at most 120 characters"),
        (None, "UTC", "`cron` takes text"),
        ("0 9 * * MON", "Mars/Olympus", 'There is no time zone "Mars/Olympus"'),
        ("0 9 * * MON", "../etc/passwd", "`timezone` takes the name of a time zone"),
        ("0 9 * * MON", "", "`timezone` takes"),
        ("0 9 * * MON", 7, "`timezone` takes"),
    ],
)
def test_what_makes_no_sense_is_refused_with_words(expression: object, zone: object, words: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        Cron(expression, zone)
    assert words in str(refused.value)


def test_the_shortest_interval_is_found() -> None:
    assert Cron("0,1 9 * * *", "UTC").shortest_interval_ms(0) == MINUTE
    assert Cron("0 9 * * *", BERLIN).shortest_interval_ms(ms("2026-03-01T00:00")) == 23 * HOUR
