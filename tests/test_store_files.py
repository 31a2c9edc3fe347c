"""The database file: whose it is, which version, who has it open, and one clear line for whatever is wrong with it."""

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from aio import run, story
from store_support import AT, asleep, claim, create, do, execution_started, quick, running

from playground.store import StoreError, open_store
from playground.store.named_sql import NamedSql
from playground.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS, empty_database, migrate, run_script
from playground.store.sqlite.store import STREAM_BATCH_BYTES, WAL_BYTES

PRAGMAS = ("application_id", "user_version", "journal_mode", "page_size", "auto_vacuum", "encoding")


def refusal(url, **options):
    with pytest.raises(StoreError) as refused:
        open_store(url, **options)
    message = str(refused.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "url", ["", "store.db", "sqlite:", "sqlite://store.db", "sqlite:///", "mysql://x/y", "SQLITE:///x.db"]
)
def test_a_url_that_names_no_database_says_what_would_do(url):
    assert "sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database" in refusal(url)


@pytest.mark.parametrize("url", ["postgresql://me:hush@127.0.0.1:1/db", "mysql://me:hush@host/db?password=hush"])
def test_a_refused_url_is_shown_without_its_password(url):
    assert "hush" not in refusal(url)


def test_a_relative_and_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///here.db").close_now()
    open_store(f"sqlite:///{tmp_path}/there.db").close_now()
    assert {path.name for path in tmp_path.glob("*.db")} == {"here.db", "there.db"}


def test_an_unknown_way_to_wait_for_the_disk(tmp_path):
    assert "full or normal" in refusal(f"sqlite:///{tmp_path}/a.db", synchronous="off; DROP TABLE x")


def test_the_log_has_its_size_from_the_start_where_commits_wait_for_the_disk(tmp_path):
    sizes = {}
    for synchronous in ("full", "normal"):
        store = open_store(f"sqlite:///{tmp_path}/{synchronous}.db", synchronous=synchronous)
        sizes[synchronous] = (tmp_path / f"{synchronous}.db-wal").stat().st_size
        store.close_now()
    assert sizes["normal"] < WAL_BYTES / 4 < WAL_BYTES <= sizes["full"]


def test_an_empty_database_of_a_test_is_what_migrations_make_of_a_new_file(tmp_path):
    (tmp_path / "copied.db").write_bytes(empty_database())
    made = {}
    for name in ("copied", "new"):
        open_store(f"sqlite:///{tmp_path}/{name}.db").close_now()
        with sqlite3.connect(tmp_path / f"{name}.db") as db:
            made[name] = list(db.iterdump()), *(db.execute(f"PRAGMA {of}").fetchone() for of in PRAGMAS)
        db.close()
    assert made["copied"] == made["new"]


def test_a_folder_that_is_not_there(tmp_path):
    assert "no folder" in refusal(f"sqlite:///{tmp_path}/missing/a.db")


def test_a_folder_instead_of_a_file(tmp_path):
    (tmp_path / "a.db").mkdir()
    assert "cannot open the database" in refusal(f"sqlite:///{tmp_path}/a.db")


def test_a_file_that_is_not_a_database(tmp_path):
    path = tmp_path / "a.db"
    path.write_text("Dear diary, " * 100)
    assert "file is not a database" in refusal(f"sqlite:///{path}")
    assert path.read_text().startswith("Dear diary")


def test_a_new_database_is_readable_to_its_owner_alone(tmp_path):
    path = tmp_path / "a.db"
    umask = os.umask(0)
    try:
        with_it = open_store(f"sqlite:///{path}")
        found = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
        with_it.close_now()
    finally:
        os.umask(umask)
    assert len(found) >= 2
    assert set(found.values()) == {"0o600"}


def test_a_restored_copy_that_others_can_read_is_closed_to_them(tmp_path):
    path = tmp_path / "a.db"
    open_store(f"sqlite:///{path}").close_now()
    path.chmod(0o644)
    path.with_name("a.db-wal").touch(0o644)
    opened = open_store(f"sqlite:///{path}")
    found = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    opened.close_now()
    assert set(found.values()) == {"0o600"} and len(found) == 4


def test_a_copy_that_is_somebody_else_s_and_open_to_others_is_refused_with_what_to_do():
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "a.db"
        open_store(f"sqlite:///{path}").close_now()
        path.chmod(0o666)
        path.with_name("a.db-lock").chmod(0o666)
        folder.chmod(0o777)
        command = [sys.executable, "-c", AS_NOBODY + SERVE, f"sqlite:///{path}"]
        opened = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=30, stdin=subprocess.DEVNULL
        )
    finally:
        shutil.rmtree(folder)
    if os.geteuid() == 0:
        assert "can read the database file" in opened.stdout and "chmod 600" in opened.stdout and opened.returncode == 3
    else:
        assert opened.stdout == "open\n", "it is one's own"


def test_a_full_disk_at_the_first_start_is_one_sentence(tmp_path):
    for size in ("300k", "8k"):
        folder = tmp_path / size
        folder.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False, capture_output=True
        ).returncode:
            pytest.skip("only root may make a disk")
        try:
            (folder / "other").write_bytes(b"x" * 4_096)
            assert "disk is full; make room on its disk, or name another" in refusal(f"sqlite:///{folder / 'a.db'}")
        finally:
            subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(("folder_mode", "file_mode"), [(0o555, 0o444), (0o777, 0o444), (0o555, None), (0o000, None)])
def test_what_cannot_be_written(folder_mode, file_mode):
    folder = Path(tempfile.mkdtemp())  # pytest's own is closed to others than root
    try:
        path = folder / "a.db"
        if file_mode is not None:
            open_store(f"sqlite:///{path}").close_now()
            path.chmod(file_mode)
            path.with_name("a.db-lock").chmod(0o666)
        folder.chmod(folder_mode)
        command = [sys.executable, "-c", AS_NOBODY + SERVE, f"sqlite:///{path}"]
        opened = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=30)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert opened.stdout.startswith("refused: "), opened.stderr
    assert opened.returncode == 3
    assert len(opened.stdout.splitlines()) == 1


ROOT = Path(__file__).parent.parent
AS_NOBODY = """
import os, playground.store
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
"""
SERVE = """
import sys
from playground.store import StoreError, open_store
try:
    store = open_store(sys.argv[1])
except StoreError as error:
    print("refused:", error)
    sys.exit(3)
print("open", flush=True)
sys.stdin.read()
"""


def test_another_program_s_database_is_left_alone(tmp_path):
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    assert "another program" in refusal(f"sqlite:///{path}")
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    db.close()


def test_a_database_newer_than_the_program(tmp_path):
    path = tmp_path / "a.db"
    open_store(f"sqlite:///{path}").close_now()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    message = refusal(f"sqlite:///{path}")
    assert f"schema version {len(MIGRATIONS) + 1}" in message
    assert "newer playground" in message


def test_two_servers_on_one_file(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    first = open_store(url)
    assert f"in use by process {os.getpid()}" in refusal(url)
    first.close_now()
    open_store(url).close_now()


def test_two_processes_on_one_file_and_the_lock_of_a_killed_one(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as other:
        assert other.stdout.readline() == "open\n"
        assert f"in use by process {other.pid}" in refusal(url)
        other.kill()
        other.wait()
        open_store(url).close_now()


def test_a_refused_file_is_not_left_locked(tmp_path):
    path = tmp_path / "a.db"
    path.write_text("not a database, and long enough to be looked at" * 30)
    refusal(f"sqlite:///{path}")
    path.unlink()
    open_store(f"sqlite:///{path}").close_now()


def test_what_was_written_is_there_when_opened_again(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"

    async def first():
        store = open_store(url)
        await asleep(store, "asleep", until=AT + 100, queue="x")
        await create(store, "new", "newer", tenant="t", queue="y")
        await claim(store, 1, at=AT)
        await store.close()

    async def then():
        store = open_store(url)
        assert await store.count() == {"waiting": 1, "queued": 2}
        assert await store.count(queue="y") == {"queued": 2}
        assert [row.id for row in await store.nodes.abandoned(9)] == ["new"]
        assert [row.id for row in await claim(store, 9, at=AT + 100, node="b")] == ["asleep", "newer"]
        row = await store.find("t", "newer")
        await store.append(row.key, [execution_started(1)], execution=1, at=AT)
        await store.close()

    run(first())
    run(then())


def limit_pages(store, pages):
    """Make the file grow no further than so many pages, or its present size if that is more; returns the limit."""
    return store._transaction._db.execute(f"PRAGMA max_page_count = {pages}").fetchone()[0]


@story
async def test_a_full_disk_is_said_to_everyone_and_forgotten_when_there_is_room(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    row = await running(store)
    pages = limit_pages(store, 1)
    large = "x" * 5_000_000  # more than the free pages that growing the log has left
    big = [store.append(row.key, quick(do(count=n), large), execution=1, at=AT) for n in range(1, 4)]
    answers = await asyncio.gather(*big, return_exceptions=True)
    assert all(isinstance(answer, StoreError) and "full" in str(answer) for answer in answers)
    limit_pages(store, pages + 1000)
    await create(store, "next")
    assert [found.id for found in await claim(store, 5, at=AT)] == ["next"]
    committed = await store.append(row.key, quick(do(count=1), "x" * 100_000), execution=1, at=AT)
    assert committed.row.last_seq == 7
    assert await store.count() == {"running": 1, "queued": 1}
    await store.close()


@story
async def test_an_event_that_is_large_is_streamed_a_few_at_a_time(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    row = await running(store)
    for n in range(1, 8):
        await store.append(row.key, quick(do(count=n), "x" * 1_000_000), execution=1, at=AT)
    seen, reads = 0, 0
    while batch := await store.events_json(row.key, after=seen, limit=500):
        assert [seq for seq, _, _ in batch] == list(range(seen + 1, seen + 1 + len(batch)))
        assert sum(len(text) for _, _, text in batch) < STREAM_BATCH_BYTES + 1_001_000
        seen, reads = batch[-1][0], reads + 1
    assert (seen, reads) == (3 + 7 * 4, 2)
    await store.close()


def test_each_migration_is_one_transaction(tmp_path):
    db = sqlite3.connect(tmp_path / "a.db", isolation_level=None)

    def second(db):
        run_script(db, "CREATE TABLE two (x); -- a comment; with a semicolon\nINSERT INTO two VALUES ('a;b');")

    def third_fails(db):
        db.execute("CREATE TABLE three (x)")
        raise sqlite3.OperationalError("disk full")

    assert migrate(db, "a", [*MIGRATIONS, second]) == len(MIGRATIONS) + 1
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, "a", [*MIGRATIONS, second, third_fails])
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert db.execute("SELECT x FROM two").fetchall() == [("a;b",)]
    assert db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'three'").fetchone() is None
    assert migrate(db, "a", [*MIGRATIONS, second]) == 0
    db.close()


def test_what_addresses_stored_before_is_counted_after_a_migration(tmp_path):
    db = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    migrate(db, "a", MIGRATIONS[:7])
    db.execute("INSERT INTO stored_per_hour VALUES ('addr:192.0.2.1', 480000, 7), ('', 0, 1)")
    migrate(db, "a")
    assert db.execute("SELECT * FROM usage").fetchall() == [("stored_per_day", "addr:192.0.2.1", 480_000, 7)]
    db.close()


def test_every_statement_can_be_prepared_against_the_schema(tmp_path):
    sql = NamedSql(ROOT / "playground/store/sqlite/queries.sql")
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, "memory")
    for name in (name for name in sql.names() if name not in ("step_columns", "result_columns")):
        for _, statement in sql.rows(name, statement_width(sql[name])):
            numbered = max(map(int, re.findall(r"\?(\d+)", statement)), default=0)
            parameters = [None] * (numbered + len(re.findall(r"\?(?!\d)", statement)))
            db.execute(f"EXPLAIN {statement}", parameters)
    db.close()


def test_the_bench_runs():
    command = [sys.executable, "-m", "bench.store", "--seconds", "0.05", "--queued", "50"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=60).stdout
    assert printed.count("/s ") == 11


def statement_width(statement):
    """How many columns a statement of rows names."""
    if statement.startswith("UPDATE") or "column1" in statement:
        return max(map(int, re.findall(r"column(\d)", statement)), default=0)
    return statement.split("(", 1)[1].split(")", 1)[0].count(",") + 1 if "{rows}" in statement else 0


def test_claims_and_lists_never_scan_the_instances(tmp_path):
    """With 2,000,000 rows a scan would be seconds."""
    sql = NamedSql(ROOT / "playground/store/sqlite/queries.sql")
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, "memory")
    for name in (
        "woken",
        "fresh_of_lane",
        "first_lane",
        "next_lane",
        "next_due",
        "list_tenant_status",
        "ended_before",
        "key_of_id",
    ):
        values = len(set(re.findall(r"\?\d+", sql[name]))) or sql[name].count("?")
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql[name]}", [None] * values)]
        assert not any(step.startswith("SCAN instance") and "INDEX" not in step for step in plan), (name, plan)
        assert not any("TEMP B-TREE" in step for step in plan), (name, plan)
    db.close()
