"""What 100,000 schedules cost, and how late they fire: daily ones, spread over the day, of 1,000 tenants.

    ./run python -m bench.schedules [--schedules 100000] [--seconds 130] [--folder DIR] [--url postgresql://...]

The part of the engine that fires them runs over a real store, and starts instances in it (which nothing runs). Measured
from the moment that all are there: processor time of this process, and how long after its time each instance is there.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from playground.engine.clock import SystemClock
from playground.engine.cron import SKIP, Cron
from playground.engine.ids import SystemIds
from playground.engine.schedules import Firing, Schedules
from playground.settings import Settings
from playground.store import open_store
from playground.store.rows import NewInstance
from playground.store.schedules import Schedule

TENANTS = 1_000
AT_ONCE = 500


def daily(number: int, now: int, pick: random.Random) -> Schedule:
    """A schedule at a minute of its own."""
    expression = f"{pick.randrange(60)} {pick.randrange(24)} * * *"
    at = Cron(expression, "UTC").after(now)
    tenant, name = f"tenant-{number % TENANTS}", f"daily-{number}"
    return Schedule(tenant, name, "w", expression, "UTC", None, None, SKIP, False, at, at, "1", now)


async def measure(url: str, schedules: int, seconds: float) -> None:
    """Print both figures."""
    store, clock = open_store(url), SystemClock()
    pick = random.Random(7)
    new = [daily(number, clock.now(), pick) for number in range(schedules)]
    for begin in range(0, schedules, AT_ONCE):
        await asyncio.gather(*(store.schedules.put(one, most=10**6) for one in new[begin : begin + AT_ONCE]))
    late: list[int] = []

    async def start(schedule: Schedule, firing: Firing) -> str:
        assert firing.id is not None
        one = NewInstance(schedule.tenant, firing.id, "w", "s", None, schedule.tenant, limits=firing.limits)
        await store.create([one], at=clock.now())
        late.append(clock.now() - firing.limits["schedule"]["scheduledTime"])
        return firing.id

    def log(event: str, **fields: Any) -> None:
        print(event, fields)

    part = Schedules(store, clock, Settings(), SystemIds(), log)
    part.register("w", start)
    part.begin()
    await asyncio.sleep(2)
    late.clear()
    before, since = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    used, lasted = time.process_time() - before, time.monotonic() - since
    await part.stop()
    await store.close()
    late.sort()
    print(f"{schedules:,} schedules on {store.product[0]}: {used / lasted:.3%} of a core over {lasted:.0f} s")
    if late:
        p50, p99 = late[len(late) // 2], late[min(len(late) - 1, len(late) * 99 // 100)]
        print(f"{len(late):,} firings, late by p50 {p50} ms, p99 {p99} ms, most {late[-1]} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=130.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        url = given.url or f"sqlite:///{folder}/bench.db"
        uvloop.run(measure(url, given.schedules, given.seconds))


if __name__ == "__main__":
    main()
