"""The runs that were started from this machine, with the tokens that change them, in a file that only its owner can
read.

It is `playground/runs.jsonl` in the XDG state folder (`$XDG_STATE_HOME`, or ~/.local/state): one JSON object a line,
oldest first, MOST_RUNS at most. A token is used for the server, or the database, that it came from and for no other.
The file is replaced as a whole, under a lock, so that commands at the same time lose nothing and a crash leaves it
whole. It is flushed to the disk before a command prints the run's id.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playground.terminal.outcomes import BadCommand

FOLDER = "playground"
RUNS = "runs.jsonl"
MOST_RUNS = 1_000  # of the oldest the token is forgotten, and the run is not listed any more
OTHERS_MODE = 0o077
FILE_MODE, FOLDER_MODE = 0o600, 0o700


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run: where it is (a server's address, or a database's URL), its id and token, and what it was called."""

    where: str
    id: str
    token: str
    name: str
    created_at: int


def state_folder(environment: Mapping[str, str]) -> Path:
    """The folder of this program's state. A relative XDG_STATE_HOME is ignored, as the XDG specification has it."""
    chosen = environment.get("XDG_STATE_HOME", "")
    base = Path(chosen) if chosen.startswith("/") else Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return base / FOLDER


class RunFile:
    """The file. Reading a missing one gives no runs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / RUNS

    def all(self) -> list[KnownRun]:
        """The runs, oldest first.

        Raises:
            BadCommand: others may read the file, or it can't be read.
        """
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & OTHERS_MODE:
                    raise BadCommand(
                        f"{self._path} holds tokens, and others than you may read it; do `chmod 600 {self._path}`"
                    )
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadCommand(f"{self._path} can't be read: {error.strerror}") from None
        return [found for line in lines if (found := _parsed(line)) is not None]

    def find(self, where: str, id: str) -> KnownRun | None:
        """The run of this id at this place."""
        return next((run for run in reversed(self.all()) if (run.where, run.id) == (where, id)), None)

    def matching(self, where: str, start: str) -> list[KnownRun]:
        """The runs at this place whose ids begin so."""
        return [run for run in self.all() if run.where == where and run.id.startswith(start)]

    def add(self, run: KnownRun) -> None:
        """Add a run. Raises BadCommand."""
        with self._locked():
            kept = [it for it in self.all() if (it.where, it.id) != (run.where, run.id)]
            self._write([*kept, run][-MOST_RUNS:])

    def forget(self, where: str, id: str) -> None:
        """Forget a run that is deleted."""
        with self._locked():
            self._write([it for it in self.all() if (it.where, it.id) != (where, id)])

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            handle = os.open(self._folder / f"{RUNS}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise BadCommand(
                f"{self._folder}, where the tokens of runs are kept, can't be written: {error.strerror}; set "
                "XDG_STATE_HOME to a folder of yours"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, runs: list[KnownRun]) -> None:
        aside = self._path.with_name(RUNS + ".new")
        try:
            aside.unlink(missing_ok=True)  # of a command that was killed; its mode may be another
            handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            with open(handle, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(run), ensure_ascii=False) + "\n" for run in runs)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
        except OSError as error:
            raise BadCommand(f"{self._path} can't be written: {error.strerror}") from None


def _parsed(line: bytes) -> KnownRun | None:
    """A line of the file; None for one that is of a newer program, or damaged."""
    try:
        shown: Any = json.loads(line)
        return KnownRun(shown["where"], shown["id"], shown["token"], shown["name"], shown["created_at"])
    except (ValueError, KeyError, TypeError):
        return None
