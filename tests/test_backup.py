"""`playground backup`: the database of one point in time while it is written, checked; killed, it leaves nothing."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from aio import run as in_loop
from aio import story
from copy_support import fill_at
from store_support import AT, claim, create, do, quick

from playground.commands import BadCommand
from playground.commands import run as run_command
from playground.store import StoreError, open_store
from playground.store.sqlite.backup import back_up, check_backup

SLOW = 1_000_000  # bytes a second: steps of a few pages


def quiet(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total, what


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


@pytest.fixture
def served(tmp_path: Path) -> Path:
    path = tmp_path / "served.db"
    in_loop(fill_at(f"sqlite:///{path}", many=5))
    return path


@story
async def test_it_is_of_one_point_in_time_though_the_server_commits_between_its_steps(served: Path) -> None:
    backup, pauses = served.with_name("backup.db"), []
    store, loop = open_store(f"sqlite:///{served}"), asyncio.get_running_loop()
    await create(store, "written meanwhile")
    row = next(row for row in await claim(store, 99) if row.id == "written meanwhile")
    before = count(served, "event")

    def commit(seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(
            store.append(row.key, quick(do(f"s{len(pauses)}"), "x" * 5_000), execution=row.execution, at=AT), loop
        ).result()
        pauses.append(seconds)

    def work() -> int:
        return asyncio.run(back_up(served, backup, quiet, bytes_per_second=SLOW, sleep=commit))["event"].count

    assert await asyncio.to_thread(work) == before == count(backup, "event")
    assert len(pauses) > 3 and max(pauses) < 0.1
    assert count(served, "event") == before + 4 * len(pauses)
    await store.close()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(it.name for it in backup.parent.glob("backup*")) == ["backup.db"]
    restored = open_store(f"sqlite:///{backup}")
    assert (await restored.row(row.key)).last_seq == row.last_seq
    committed = await restored.append(row.key, quick(do("after"), 1), execution=row.execution, at=AT)
    assert committed.row.last_seq == row.last_seq + 4, "a server goes on from there"
    await restored.close()


def test_killed_between_two_steps_it_leaves_no_file_that_looks_whole(served: Path) -> None:
    backup = served.with_name("backup.db")
    code = f"""
import asyncio, os, signal
from pathlib import Path
from playground.store.sqlite.backup import back_up
def killed(seconds):
    os.kill(os.getpid(), signal.SIGKILL)
source, target = Path({str(served)!r}), Path({str(backup)!r})
asyncio.run(back_up(source, target, lambda *_: None, bytes_per_second={SLOW}, sleep=killed))
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    partial = backup.with_name("backup.db.partial")
    assert partial.exists() and not backup.exists()
    with pytest.raises(StoreError, match="schema version 0"):
        in_loop(check_backup(partial, quiet))
    said: list[str] = []
    command = ["backup", "--database", f"sqlite:///{served}", "--to", str(backup)]
    run_command(command, {}, said.append)
    assert "whose journals fold to their rows" in said[0] and not partial.exists()
    run_command(["backup", "--check", str(backup)], {}, said.append)
    assert said[1].endswith(said[0].rpartition("digest")[2])
    with pytest.raises(BadCommand, match="exists; name a file that does not"):
        run_command(command, {}, said.append)


DAMAGE = {
    "UPDATE instance SET status = 'running' WHERE id = 'done'": r'journal of instance "done" gives status .*',
    "DELETE FROM event WHERE seq = 2 AND instance = (SELECT key FROM instance WHERE id = 'done')": "has a gap at 3",
    "DELETE FROM event WHERE instance = (SELECT key FROM instance WHERE id = 'done')": "has no journal",
    "UPDATE instance SET last_seq = last_seq + 1 WHERE id = 'done'": "gives last_seq",
}


def test_a_backup_that_contradicts_itself_is_said_to_be_damaged(served: Path) -> None:
    for number, (statement, says) in enumerate(DAMAGE.items()):
        backup = served.with_name(f"{number}.db")
        in_loop(back_up(served, backup, quiet))
        with closing(sqlite3.connect(backup, isolation_level=None)) as db:
            assert db.execute(statement).rowcount > 0
        with pytest.raises(StoreError, match=says):
            in_loop(check_backup(backup, quiet))
    cut = served.with_name("0.db")
    os.truncate(cut, cut.stat().st_size // 2)
    with pytest.raises(StoreError, match="damaged|malformed|disk image"):
        in_loop(check_backup(cut, quiet))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "x", "--check", "y"], "give --to FILE for a backup, or --check FILE"),
        ([], "give --to FILE"),
        (["--to", "x", "--database", "postgresql://db/x"], "pg_dump"),
        (["--to", "x", "--megabytes-per-second", "-1"], "0 for no limit"),
        (["--to", "x", "--database", "sqlite:////nowhere/x.db"], "there is no database /nowhere/x.db"),
    ],
)
def test_what_it_cannot_do_it_says(arguments: list[str], says: str) -> None:
    with pytest.raises(BadCommand, match=says):
        run_command(["backup", *arguments], {}, lambda _: None)
