"""`playground doctor`: what this machine can do for runs, why, and what to do about it.

Each finding is good, worth a look or bad; bad is what keeps a server from starting, or from keeping what it promises.
Nothing is changed: the database is only read, and the disk is measured on a file of its own beside it, which is
removed. With a server named, that one is asked how it is, and what is its own business is left to it.
"""

import argparse
import asyncio
import ctypes
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playground import process
from playground.client import Client, ClientError, Unavailable
from playground.opening import open_configured_sandbox
from playground.sandbox.pool import Sandbox, SandboxRefused, Tier
from playground.serving import program_version
from playground.settings import BadSetting, Settings, without_password
from playground.store.errors import StoreError
from playground.store.inspection import inspect_database
from playground.store.open import SQLITE, free_bytes
from playground.terminal.following import now_ms
from playground.terminal.narration import DONE, FAILED, WARNING, Line, plain
from playground.terminal.outcomes import FAILED as EXIT_BAD
from playground.terminal.outcomes import OK as EXIT_OK
from playground.terminal.places import Place
from playground.terminal.screen import Screen

GOOD, LOOK, BAD = "good", "look", "bad"
COMMITS = 30  # that the disk is measured with
COMMIT_BYTES = 4_096
SLOW_COMMIT_MS = 20.0  # a step waits for at least one commit
NO_COMMIT_MS = 0.05  # no disk flushes so fast: it only says so
CLOCK_AHEAD_MS = 2_000  # between this machine and its database or server
FIRST_YEAR = 2025
WORKER_PROCESSES = 3  # per slot, with what waits parked
TIME_ERROR = 5  # of ntp_adjtime: the clock is not synchronised


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, how it is, and what to do."""

    what: str
    state: str
    text: str
    advice: str = ""


async def doctor(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground doctor`; returns the exit status."""
    worst = EXIT_OK
    async for finding in _findings(place):
        screen.json("finding", **asdict(finding))
        kind = {GOOD: DONE, LOOK: WARNING, BAD: FAILED}[finding.state]
        screen.lines([Line(kind, finding.what, plain(finding.text))])
        if finding.advice:
            screen.print(f"      {plain(finding.advice)}")
        if finding.state == BAD:
            worst = EXIT_BAD
    return worst


async def _findings(place: Place) -> Any:
    settings = place.settings
    yield Finding(
        "program", GOOD, f"playground {program_version()} on Python {sys.version.split()[0]}, {os.uname().release}"
    )
    if place.server:
        for finding in await _server(place):
            yield finding
        return
    for finding in await isolation(settings):
        yield finding
    yield await asyncio.to_thread(database, settings)
    folder = _folder(settings)
    if folder is not None:
        yield await asyncio.to_thread(disk, folder, settings)
    yield clock()
    for finding in machine(settings):
        yield finding
    yield await _beside(settings)


async def isolation(settings: Settings) -> list[Finding]:
    """The tier in which code would run, and why it is not a better one; and the packages that it can import there."""
    try:
        sandbox = await open_configured_sandbox(settings, lambda event, **fields: None)
    except SandboxRefused as error:
        return [Finding("isolation", BAD, str(error))]
    except BadSetting as error:
        return [Finding("packages", BAD, str(error))]
    try:
        found = [await packages(sandbox)] if sandbox.packages else []
        tier = sandbox.tier
    finally:
        await sandbox.close()
    return [_isolation(tier), *found]


async def packages(sandbox: Sandbox) -> Finding:
    """The operator's packages, and which of them code can't import."""
    there = ", ".join(f"{package.name} {package.version}" for package in sandbox.packages)
    failing = await sandbox.failing_imports()
    if failing:
        errors = "; ".join(f"`{module}`: {error}" for module, error in failing.items())
        advice = "Workers have no threads, files and network: leave such packages out, or raise worker_memory_bytes."
        return Finding("packages", LOOK, f"{there}. Workers can't import {errors}", advice)
    later = ", ".join(f"`{module}` ({why})" for module, why in sandbox.not_preloaded.items())
    return Finding("packages", GOOD, f"{there}{f'. Imported by each worker: {later}' if later else ''}")


def _isolation(tier: Tier) -> Finding:
    state = {"A": GOOD, "B": LOOK, "C": LOOK}.get(tier.letter, BAD)
    layers = ", ".join(tier.layers) or "none"
    return Finding("isolation", state, f"tier {tier.letter}: {tier.sentence} Layers: {layers}.", tier.advice)


def database(settings: Settings) -> Finding:
    """Whether the database can be used, and who has it."""
    shown = without_password(settings.database)
    try:
        found = inspect_database(settings.database, now_ms)
    except StoreError as error:
        return Finding("database", BAD, str(error))
    if not found.exists:
        return Finding("database", GOOD, f"{shown} is made at the first start ({found.engine})")
    text = f"{shown}, {found.engine}, schema {found.version}"
    if found.round_trip_ms is not None:
        text += f", {found.round_trip_ms:.1f} ms away"
    if found.version < found.newest:
        return Finding(
            "database",
            LOOK,
            f"{text}; the next start brings it to {found.newest}",
            "Copy it first: older programs can't read it then.",
        )
    if found.clock_ahead_ms is not None and abs(found.clock_ahead_ms) > CLOCK_AHEAD_MS:
        ahead = f"its clock and this machine's are {abs(found.clock_ahead_ms) / 1_000:.1f} s apart"
        return Finding("database", LOOK, f"{text}; {ahead}", "Synchronise both (chrony, systemd-timesyncd).")
    if found.holder is not None:
        process_ = f"process {found.holder}" if found.holder else "another process"
        return Finding(
            "database",
            GOOD,
            f"{text}; {process_} has it open",
            "Commands reach it with --server, or PLAYGROUND_SERVER.",
        )
    return Finding("database", GOOD, text)


def disk(folder: Path, settings: Settings, now: Callable[[], float] = time.perf_counter) -> Finding:
    """How long a commit takes where the database is, and how much room there is."""
    try:
        times = _commit_times(folder, now)
    except OSError as error:
        return Finding("disk", BAD, f"{folder} can't be written: {error.strerror}", "Name another --database.")
    free = free_bytes(settings.database) or 0
    median, slowest = statistics.median(times), max(times)
    text = f"a commit takes {median:.2f} ms, the slowest of {COMMITS} {slowest:.1f} ms; {free / 1e9:,.1f} GB free"
    if free < settings.free_disk_bytes:
        least = f"{settings.free_disk_bytes / 1e9:,.1f} GB"
        return Finding("disk", BAD, text, f"Below {least} (PLAYGROUND_FREE_DISK_BYTES) nothing new starts: make room.")
    if settings.synchronous == "full" and median > SLOW_COMMIT_MS:
        return Finding("disk", LOOK, text, "Each step waits for a commit: put the database on a local SSD.")
    if median < NO_COMMIT_MS:
        return Finding(
            "disk",
            LOOK,
            text,
            "No disk is so fast: this one is memory, or does not wait. Runs may not survive a power cut.",
        )
    return Finding("disk", GOOD, text)


def _commit_times(folder: Path, now: Callable[[], float]) -> list[float]:
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".playground-doctor-") as file:
        for _ in range(COMMITS):
            began = now()
            file.write(b"\0" * COMMIT_BYTES)
            file.flush()
            os.fdatasync(file.fileno())
            times.append((now() - began) * 1_000)
    return times


def clock(read: Callable[[], int] | None = None, now: Callable[[], int] = now_ms) -> Finding:
    """Whether the machine's clock is right, as far as it can know. `read`: ntp_adjtime's state."""
    at = datetime.fromtimestamp(now() / 1_000, UTC)
    text = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    if at.year < FIRST_YEAR:
        return Finding("clock", BAD, text, "Set the clock: sleeps and schedules go by it.")
    state = (read or _ntp_state)()
    if state == TIME_ERROR:
        advice = "Sleeps and schedules go by this clock. In a container its host may well synchronise it."
        return Finding("clock", LOOK, f"{text}; the kernel does not know that it is synchronised", advice)
    return Finding("clock", GOOD, text if state < 0 else f"{text}, synchronised")


def _ntp_state() -> int:
    """What adjtimex(2) says of the clock, changing nothing; -1 where it can't be asked."""
    call = getattr(ctypes.CDLL(None), "adjtimex", None) if sys.platform == "linux" else None
    return int(call(ctypes.create_string_buffer(512))) if call is not None else -1


def machine(settings: Settings, limits: "Limits | None" = None) -> Iterator[Finding]:
    """Whether processor, memory, processes and descriptors are enough for the workers of the settings."""
    found = limits or Limits.read()
    slots = settings.slots
    yield Finding(
        "processor", GOOD, f"{found.cores:g} cores; {slots} runs may have a worker at once (PLAYGROUND_WORKERS)"
    )
    needed, share = slots * settings.worker_memory_bytes, found.memory_bytes * 0.75
    text = (
        f"{found.memory_bytes / 1e9:,.1f} GB; {slots} workers of {settings.worker_memory_bytes / 1e6:,.0f} MB at most"
    )
    if needed > share:
        yield Finding(
            "memory",
            LOOK,
            f"{text} could want {needed / 1e9:,.1f} GB",
            "Set PLAYGROUND_WORKERS lower, or accept that some are killed.",
        )
    else:
        yield Finding("memory", GOOD, text)
    wanted = WORKER_PROCESSES * slots + settings.parked_workers
    if found.processes is not None and found.processes < wanted:
        yield Finding(
            "processes",
            BAD,
            f"{found.processes:,} may be started, and {wanted:,} may be needed",
            "Raise `ulimit -u`, or the group's pids.max.",
        )
    else:
        many = "any number" if found.processes is None else f"{found.processes:,}"
        yield Finding("processes", GOOD, f"{many} may be started")
    if found.descriptors < process.MIN_DESCRIPTORS:
        yield Finding(
            "descriptors",
            BAD,
            f"{found.descriptors:,}, and it takes {process.MIN_DESCRIPTORS}",
            "Do `ulimit -n 4096`, or set LimitNOFILE=.",
        )
    else:
        yield Finding("descriptors", GOOD, f"{found.descriptors:,} files and connections may be open")


@dataclass(frozen=True, slots=True)
class Limits:
    """What this machine, its container and its user allow. `processes` None: any number."""

    cores: float
    memory_bytes: int
    processes: int | None
    descriptors: int

    @classmethod
    def read(cls, group: Path = Path("/sys/fs/cgroup")) -> "Limits":
        """Read them."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        cores = float(len(os.sched_getaffinity(0)))
        quota = _words(group / "cpu.max")
        if len(quota) == 2 and quota[0].isdigit():
            cores = min(cores, int(quota[0]) / int(quota[1]))
        allowed = _words(group / "memory.max")
        if allowed and allowed[0].isdigit():
            memory = min(memory, int(allowed[0]))
        most = [int(words[0]) for words in (_words(group / "pids.max"),) if words and words[0].isdigit()]
        user = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        if user != resource.RLIM_INFINITY and os.getuid() != 0:  # root is not held to it
            most.append(user)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        descriptors = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        return cls(cores, memory, min(most, default=None), descriptors)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _folder(settings: Settings) -> Path | None:
    if not settings.database.startswith(SQLITE):
        return None
    return Path(settings.database.removeprefix(SQLITE)).resolve().parent


async def _beside(settings: Settings) -> Finding:
    """What listens on the port that a server would take."""
    address = f"http://127.0.0.1:{settings.port}"
    try:
        async with Client(address) as client:
            health = await client.health()
    except ClientError as error:
        if "can't be reached" in str(error):
            return Finding("port", GOOD, f"nothing listens on {settings.port}")
        return Finding("port", LOOK, f"something else listens on {settings.port}", "Start with another --port.")
    text = f"a playground {health.get('version')} serves at {address}"
    return Finding("port", GOOD, text, f"Commands reach it with --server {address}.")


async def _server(place: Place) -> list[Finding]:
    """How a server says that it is."""
    try:
        async with Client(place.server, start_token=place.start_token) as client:
            health: Mapping[str, Any] = await client.health()
            try:
                await client.ready()
                ready = Finding("ready", GOOD, "it takes runs")
            except Unavailable as error:
                ready = Finding("ready", BAD, str(error))
    except ClientError as error:
        return [Finding("server", BAD, str(error), "Is it started, and is that its address?")]
    tier, workers = health["isolation"], health["workers"]
    state = GOOD if tier["letter"] == "A" else LOOK
    return [
        Finding("server", GOOD, f"{place.server}: playground {health['version']} on Python {health['python']}"),
        Finding("isolation", state, f"tier {tier['letter']}: {tier['sentence']}", tier["advice"]),
        Finding("workers", GOOD, f"{workers['running']} of {workers['slots']} are busy"),
        ready,
    ]
