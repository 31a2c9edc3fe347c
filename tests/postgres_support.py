"""A PostgreSQL server of the test run's own, and an empty database of it for each test.

One server for all processes of a run: the first that needs it starts it, in a folder that the run's first process
names, and that process stops it at the end. It listens on a socket in that folder, not on the network, and belongs to
an ordinary user, since PostgreSQL refuses root. Its data is not synced to the disk (`fsync=off`): that protects from a
machine that loses power, which no test does; where the server itself is killed, `settings=DURABLE` does.

A database is a copy of a template that was migrated once. If the server's programs are missing, they are installed
with apt-get (install_support.py); where that may not be, tests fail and name the package.
"""

import contextlib
import fcntl
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Self

from install_support import install_from_debian

PACKAGE = "postgresql"
PROGRAMS = Path("/usr/lib/postgresql")
USER = "playground"  # of the database
TEMPLATE = "playground_template"
START_SECONDS = "60"
# Many databases that live for a second: small, and without the disk.
FAST = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off",
    "shared_buffers": "48MB", "max_wal_size": "512MB", "max_connections": "200", "wal_level": "minimal",
    "max_wal_senders": "0", "log_min_messages": "fatal", "jit": "off",
}  # fmt: skip
DURABLE = {"shared_buffers": "64MB", "max_connections": "100", "log_min_messages": "fatal", "jit": "off"}


EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
        AND relnamespace = 'public'::regnamespace AND relname <> 'playground_schema'
    LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$;
DROP TABLE IF EXISTS playground_copy;
SELECT setval('instance_key', 1, false), setval('queue_turn', 1, false);
"""


class NoPostgres(Exception):
    """There is no PostgreSQL to test with; the message says what would help."""


def _version(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdigit() else 0


def find_programs() -> Path:
    """The folder of the newest server's programs, 14 at least, installed where it is missing. Raises NoPostgres."""
    for complaint in (None, install_from_debian):
        why = "" if complaint is None else complaint([PACKAGE])
        found = sorted((path.parent for path in PROGRAMS.glob("*/bin/initdb")), key=_version)
        if found and _version(found[-1]) >= 14:
            return found[-1]
        if (initdb := shutil.which("initdb")) is not None:
            return Path(initdb).resolve().parent
    raise NoPostgres(f"there is no PostgreSQL server to test with; apt-get install {PACKAGE} ({why})")


def _ordinary_user() -> str | None:
    """Who runs the server, if this is root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NoPostgres("PostgreSQL refuses to run as root, and there is no other user")


def name_of(url: str) -> str:
    """The name of the database of a URL of `PostgresServer.url`."""
    return url.partition("@/")[2].partition("?")[0]


class PostgresServer:
    """One server, in a folder of its own.

    Args:
        settings: of its configuration; those of `FAST` do not sync to the disk, which tests that kill it need.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] = FAST, port: int | None = None) -> None:
        self.folder, self._programs, self._user = folder, find_programs(), _ordinary_user()
        self._settings = {**settings, "listen_addresses": "127.0.0.1" if port else ""}
        self.port = port or 5432
        self._numbers = count()

    def create(self) -> "PostgresServer":
        """Make its files."""
        self._make_folder()
        self.run("initdb", "-D", "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        return self._configure()

    def create_standby(self, primary: "PostgresServer") -> "PostgresServer":
        """Make its files a copy of another server's, which it follows from its start on."""
        self._make_folder()
        place = ("-h", str(primary.folder), "-p", str(primary.port), "-U", USER)
        self.run("pg_basebackup", *place, "-D", "data", "-R", "-c", "fast", "-X", "stream")
        return self._configure()

    def promote(self) -> None:
        """Have a standby take writes from now on."""
        self.run("pg_ctl", "-D", "data", "-w", "-t", START_SECONDS, "promote")

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)

    def _configure(self) -> "PostgresServer":
        settings = "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        path = self.folder / "data" / "postgresql.conf"
        path.write_text(
            f"{path.read_text()}\n{settings}port = {self.port}\nunix_socket_directories = '{self.folder}'\n"
        )
        return self

    def start(self) -> "PostgresServer":
        """Start it, and wait until it takes connections."""
        self.run("pg_ctl", "-D", "data", "-w", "-t", START_SECONDS, "-l", "log", "start")
        return self

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: at once, as a crash does, or in order (`fast`)."""
        self.run("pg_ctl", "-D", "data", "-w", "-t", START_SECONDS, "-m", mode, "stop")

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run statements; returns what they print."""
        command = [str(self._programs / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder)]
        command += ["-p", str(self.port), "-U", USER, "-d", database, "-c", text]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def database(self, template: str = "") -> str:
        """The URL of a new database."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return self.url(name)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs as its user."""
        command = [*self.as_user(), str(self._programs / program), *arguments]
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(self.folder)}
        # What it starts stays; it must not hold this process's pipes open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, check=False, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read().decode(errors='replace')}"

    def as_user(self) -> list[str]:
        """What stands before a command that is to run as the server's user."""
        if self._user is None:
            return []
        group = "nogroup" if self._user == "nobody" else self._user
        return ["setpriv", f"--reuid={self._user}", f"--regid={group}", "--clear-groups"]

    def kill(self) -> None:
        """End it, whatever it does; of one that is gone already its file may still name another's process."""
        data = self.folder / "data"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int((data / "postmaster.pid").read_text().split()[0])
            if Path("/proc", str(pid), "cwd").resolve() == data.resolve():
                os.kill(pid, signal.SIGQUIT)


FOLDER = f"playground-postgres-{os.getuid()}-"


def root_of_run(run: str | None = None) -> Path:
    """The folder that all processes of a test run share; the run is known by its first process (conftest.py)."""
    return Path(tempfile.gettempdir()) / (FOLDER + (run or os.environ.get("TEST_RUN_OF_PLAYGROUND", str(os.getpid()))))


def _remove_orphans() -> None:
    """Stop the servers of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        run = folder.name.removeprefix(FOLDER)
        if not Path("/proc", run).exists():
            stop_shared_server(run)


@functools.cache
def shared_server() -> PostgresServer:
    """The server of this test run, started by the first process that needs it, with the template in it."""
    root = root_of_run()
    root.mkdir(exist_ok=True)
    root.chmod(0o711)
    server = PostgresServer(root / "server")
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "ready").exists():
            _remove_orphans()
            server.create().start()
            server.sql(f"CREATE DATABASE {TEMPLATE}")
            from playground.store.postgres.opening import prepare, run_blocking

            run_blocking(prepare(server.url(TEMPLATE), None, lambda *_, **__: None))
            (root / "ready").touch()
    return server


def stop_shared_server(run: str | None = None) -> None:
    """End a run's server, if one was started, and remove its files."""
    root = root_of_run(run)
    if root.exists():
        for data in root.glob("*/data"):
            PostgresServer(data.parent).kill()
        shutil.rmtree(root, ignore_errors=True)


def own_server() -> PostgresServer:
    """A server for tests that stop it, which syncs to the disk."""
    return PostgresServer(own_folder(), settings=DURABLE).create().start()


def own_folder() -> Path:
    """A folder for a server of a test's own. It is none of pytest's: those are for their owner alone, who does not run
    the server where that is root.
    """
    root = root_of_run()
    root.mkdir(exist_ok=True)
    root.chmod(0o711)
    return Path(tempfile.mkdtemp(prefix="own-", dir=root))


_free: list[str] = []


def new_database() -> str:
    """The URL of a migrated, empty database: one that was given back, since making one takes ten times as long."""
    return _free.pop() if _free else shared_server().database(TEMPLATE)


def give_back(url: str) -> None:
    """Empty a database of `new_database`, whoever is still connected to it."""
    shared_server().sql(EMPTY, name_of(url))
    _free.append(url)


@contextmanager
def database() -> Iterator[str]:
    """A migrated, empty database for as long as the context lasts."""
    url = new_database()
    try:
        yield url
    finally:
        give_back(url)


class Pooler:
    """PgBouncer in transaction mode before a server: each transaction may get another of its few connections."""

    def __init__(self, server: PostgresServer, folder: Path, *, connections: int = 4) -> None:
        self.folder, self._server = folder, server
        if _pgbouncer() is None and (why := install_from_debian(["pgbouncer"])):
            raise NoPostgres(f"there is no PgBouncer to test with; apt-get install pgbouncer ({why})")
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        (folder / "users.txt").write_text(f'"{USER}" ""\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host={server.folder} port={server.port}\n[pgbouncer]\nlisten_addr =\n"
            f"unix_socket_dir = {folder}\nlisten_port = 6432\nauth_type = any\nauth_file = {folder}/users.txt\n"
            f"pool_mode = transaction\ndefault_pool_size = {connections}\nlogfile = {folder}/log\n"
            f"pidfile = {folder}/pid\nmax_client_conn = 200\n"
        )

    def __enter__(self) -> Self:
        program = _pgbouncer()
        assert program is not None, "it has been installed"
        command = [*self._server.as_user(), program, str(self.folder / "ini")]
        # auth_type any has one user log in as another, who has to be named.
        ini = self.folder / "ini"
        ini.write_text(ini.read_text().replace("* = ", f"* = user={USER} "))
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (self.folder / ".s.PGSQL.6432").exists():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def url(self, url: str) -> str:
        """The URL of the server's database, through the pooler."""
        name = name_of(url)
        return f"postgresql://{USER}@/{name}?host={self.folder}&port=6432"


def _pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
