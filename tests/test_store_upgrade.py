"""Databases of older versions (tests/fixtures/databases) are opened, and their instances go on to their right end.

Time stands where it stood when a file was written, so that nothing of it falls due or is removed for its age meanwhile.
"""

import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from http_support import Background
from semantics_support import assert_dense, assert_rows_agree

from playground.engine import Engine, forks
from playground.engine.clock import SystemClock
from playground.engine.code.tenants import Tenants
from playground.engine.ids import SystemIds
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store import open_store
from playground.store.columns import step_key
from playground.store.encoding import as_objects, encode_step
from playground.store.encryption import Keyring
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.store.tables import Scope
from playground.workflows import events as ev
from playground.workflows.events import DO, WAIT, StepKey
from playground.workflows.state import State, fold

FOLDER = Path(__file__).parent / "fixtures" / "databases"
FILES = sorted(path.name.removesuffix(".db.gz") for path in FOLDER.glob("*.db.gz"))
KEYRING = Keyring([b"the key of a fixture, no secret!"])
SECRET = "sk_fixture_4f9a"
NONE = Keyring()
SECONDS = 50.0  # that an engine may take over one file
EVERYTHING = 100_000

# What an instance of the fixtures gives at its end, whatever it did last.
FOUND = {
    "small": {"n": 1, "text": "a\u0301"}, "large": True, "nothing": None, "hidden": True, "outer": [[1], 100_000],
    "refused": "not this one", "late": "timed out", "early": {"number": 7},
}  # fmt: skip


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one of the databases."""
    path = tmp_path / f"{request.param}.db"
    path.write_bytes(gzip.decompress((FOLDER / f"{request.param}.db.gz").read_bytes()))
    return path


def keyring(file: Path) -> Keyring:
    return KEYRING if "encrypted" in file.name else NONE


def run(background: Background, file: Path, story: Callable[[Store], Awaitable[None]]) -> None:
    """Do something with a store on the file."""

    async def told() -> None:
        store = await asyncio.to_thread(open_store, f"sqlite:///{file}", synchronous="normal", keyring=keyring(file))
        try:
            async with asyncio.timeout(SECONDS):
                await story(store)
        finally:
            await store.close()

    asyncio.run_coroutine_threadsafe(told(), background.loop).result(SECONDS + 10)


class ClockOf(SystemClock):
    """The machine's clock, set back to when a file was written."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        with closing(sqlite3.connect(file)) as db:
            self._back = super().now() - db.execute("SELECT max(at) FROM event").fetchone()[0]

    def now(self) -> int:
        return super().now() - self._back


@asynccontextmanager
async def engine_on(store: Store, sandbox: Sandbox, file: Path) -> AsyncIterator[Engine]:
    settings = Settings(database=f"sqlite:///{file}", workers=8, drain_seconds=0)
    async with Engine.open(
        settings=settings, store=store, sandbox=sandbox, clock=ClockOf(file), ids=SystemIds(), log=lambda *_, **__: None
    ) as engine:
        yield engine


def raw_results(file: Path) -> dict[tuple[int, StepKey], Any]:
    """The results as version 7 held them: in the rows of steps."""
    found: dict[tuple[int, StepKey], Any] = {}
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT instance, kind, name, count, result FROM step WHERE result IS NOT NULL").fetchall()
    for instance, kind, name, count, text in rows:
        key = step_key(kind, name, count)
        found[instance, key] = json.loads(keyring(file).decrypt(text, "step", instance, encode_step(key)))
    return found


def raw_journals(file: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as db:
        columns = "instance, seq, at, type, execution, step, data"
        return db.execute(f"SELECT {columns} FROM event ORDER BY instance, seq").fetchall()


async def rows_by_case(store: Store, tenant: str = "") -> dict[str, InstanceRow]:
    """The instances that are no forks, by what they are."""
    rows = await store.list(tenant, limit=100)
    forked = {child.key for row in rows for child in await store.children(row.key, forks.FORK)}
    return {as_objects(row.params)["case"]: row for row in rows if row.key not in forked}


async def journal(store: Store, key: int) -> list[ev.Event]:
    return await store.events(key, after=0, limit=EVERYTHING)


async def ended(engine: Engine, row: InstanceRow) -> State:
    """The state of an instance once it has ended."""
    async with engine.store.subscribe(row.key) as grown:
        while (now := await engine.store.find(row.tenant, row.id)).status not in ev.FINAL_STATUSES:
            await grown(now.last_seq)
    state = await assert_sound(engine.store, now)
    assert state.status == ev.COMPLETE, (as_objects(row.params), state.error)
    return state


async def assert_sound(store: Store, row: InstanceRow) -> State:
    """The journal is dense and agrees with the rows, as everywhere (semantics_support); gives its fold."""

    async def state() -> State:
        return fold(await journal(store, row.key))

    async def the_row() -> InstanceRow:
        return await store.find(row.tenant, row.id)

    async def snapshot() -> Any:
        return await store.load(row.key)

    assert_dense(await journal(store, row.key))
    await assert_rows_agree(SimpleNamespace(state=state, row=the_row, snapshot=snapshot))  # type: ignore[arg-type]
    return await state()


def test_every_journal_and_every_result_reads_as_it_stood(sandbox: tuple[Background, Sandbox], file: Path) -> None:
    results, journals = raw_results(file), raw_journals(file)
    assert len(results) > 100 and any(result == {"password": "correct horse"} for result in results.values())

    async def story(store: Store) -> None:
        rows = [*await store.list("", limit=100), *await store.list("acme", limit=100)]
        assert {as_objects(row.params)["case"] for row in rows} >= {
            "waiting", "sleeping", "half-run", "retrying", "paused", "finished", "errored", "restarted", "tenant",
        }  # fmt: skip
        read = {}
        for row in rows:
            steps = (await store.load(row.key)).steps
            read |= {(row.key, key): as_objects(step.result) for key, step in steps.items() if step.result_bytes}
            state = await assert_sound(store, row)
            shown = state.as_json()
            assert len(shown["steps"]) == len(steps) and SECRET not in json.dumps(shown)
        assert read.keys() == results.keys()
        assert read == results

    run(sandbox[0], file, story)
    assert raw_journals(file) == journals
    run(sandbox[0], file, story)


def test_a_result_that_its_event_holds_is_stored_there_alone(sandbox: tuple[Background, Sandbox], file: Path) -> None:
    before, pages = raw_results(file), used_pages(file)
    run(sandbox[0], file, nothing)
    assert used_pages(file) < 0.6 * pages
    own = raw_results(file)
    hidden = [StepKey(DO, "hidden", 1), StepKey(DO, "reads the secret", 1)]
    assert own == {place: result for place, result in before.items() if place[1] in hidden}
    with closing(sqlite3.connect(file)) as db:
        both = "SELECT count(*) FROM step WHERE result_bytes > 0 AND (result IS NULL) = (result_seq IS NULL)"
        assert db.execute(both).fetchone() == (0,)


def used_pages(file: Path) -> int:
    """How many pages of a file hold something: opening it leaves some free, as room for the log."""
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("PRAGMA page_count").fetchone()[0] - db.execute("PRAGMA freelist_count").fetchone()[0])


async def nothing(store: Store) -> None:
    """A file is upgraded when it is opened."""


def test_what_waits_sleeps_or_was_half_run_goes_on_to_its_end(sandbox: tuple[Background, Sandbox], file: Path) -> None:
    async def story(store: Store) -> None:
        cases = await rows_by_case(store)
        async with engine_on(store, sandbox[1], file) as engine:
            state = await ended(engine, cases["half-run"])
            assert state.output == {**FOUND, "slow": 2, "kept": "half-run"}
            [first, second] = state.steps[StepKey(DO, "slow", 1)].attempts
            assert first.error["name"] == "WorkerLost" and second.error is None

            await engine.send_event(cases["waiting"], "approved", {"by": "Ada"})
            state = await ended(engine, cases["waiting"])
            tail = {"approval": {"by": "Ada"}, "tail": "done"}
            assert state.output == {**FOUND, **tail, "other": {"kept": True}, "kept": "waiting"}

            for case in ("sleeping", "retrying"):
                await engine.wake(cases[case])
                more = {"again": 2} if case == "retrying" else {}
                assert (await ended(engine, cases[case])).output == {**FOUND, **more, "kept": case}

            await engine.resume(cases["paused"])
            for case in ("paused", "restarted"):
                await engine.send_event(cases[case], "approved", "yes")
                state = await ended(engine, cases[case])
                assert state.output == {**FOUND, "approval": "yes", "tail": "done", "kept": case}
            assert state.generation == 2

            children = await store.children(cases["waiting"].key, forks.FORK)
            forked = [await store.find("", child.id) for child in children]
            outputs = []
            for fork in forked:
                await engine.send_event(fork, "other", None)
                await engine.send_event(fork, "approved", 1)
                outputs.append((await ended(engine, fork)).output)
            same = {**FOUND, "approval": 1, "tail": "done", "other": None, "kept": "waiting"}
            assert outputs == [{**same, "early": {"edited": [1, 2]}}, same]

    run(sandbox[0], file, story)


def test_what_has_ended_is_forked_restarted_and_deleted(sandbox: tuple[Background, Sandbox], file: Path) -> None:
    async def story(store: Store) -> None:
        cases = await rows_by_case(store)
        finished, errored = cases["finished"], cases["errored"]
        async with engine_on(store, sandbox[1], file) as engine:
            assert (await assert_sound(store, errored)).error["message"] == "no seat is left"
            early = StepKey(WAIT, "early", 1)
            for edited in (forks.NO_EDIT, {"number": 8}):
                planned = await forks.plan(engine, finished, early, edited)
                fork = await engine.create(planned.template)
                await engine.send_event(fork, "early", {"number": 7})
                found = {"number": 7} if edited is forks.NO_EDIT else edited
                assert (await ended(engine, fork)).output == {**FOUND, "early": found, "kept": "finished"}
            await engine.restart(finished, StepKey(DO, "refused", 1))
            await engine.send_event(finished, "early", "again")
            state = await ended(engine, finished)
            assert state.output == {**FOUND, "early": "again", "kept": "finished"}
            copies = [event for event in await journal(store, finished.key) if event.type == ev.STEP_STARTED]
            assert [event.step.name for event in copies].count("large") == 1
            await engine.delete(errored)
        assert errored.id not in {row.id for row in await store.list("", limit=100)}

    run(sandbox[0], file, story)


def test_a_tenant_keeps_its_code_secrets_and_what_holds_them(sandbox: tuple[Background, Sandbox], file: Path) -> None:
    async def story(store: Store) -> None:
        cases = await rows_by_case(store, "acme")
        assert await store.tenants.secrets("acme") == {"TOKEN": SECRET}
        assert [version.number for version in await store.tenants.versions("acme", limit=10)] == [2, 1]
        assert await store.kv.get(Scope("acme", 0), "token") == (True, {"token": SECRET})
        assert [effect.data["amount"] for effect in await store.effects.of_instance(cases["tenant"].key)] == [5]
        async with engine_on(store, sandbox[1], file) as engine:
            tenants = Tenants(engine)
            await tenants.send_event(cases["tenant"], "approved", [1])
            state = await ended(engine, cases["tenant"])
            token = [True, True, len(SECRET)]
            assert state.output == {**FOUND, "token": token, "approval": [1], "tail": "done", "kept": "finished"}
            planned = await forks.plan(engine, cases["finished"], StepKey(WAIT, "early", 1))
            fork = await engine.create(planned.template)
            await tenants.send_event(fork, "early", {"number": 7})
            assert (await ended(engine, fork)).output == {**FOUND, "token": token, "kept": "finished"}

    run(sandbox[0], file, story)
