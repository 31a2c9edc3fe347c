"""Which database the stores of a test are on: SQLite, or PostgreSQL for files that run on both (conftest.py)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from store_support import POSTGRES, SQLITE, new_file


class Chosen:
    """The database of the test that runs, and the PostgreSQL databases that it has taken."""

    kind = SQLITE
    taken: ClassVar[list[str]] = []


def url_in(folder: Path, name: str) -> str:
    """The URL of an empty database: a file of this name, or one on the server, which the test gives back at its end."""
    if Chosen.kind != POSTGRES:
        return new_file(folder / name)
    from postgres_support import new_database  # late: what runs on SQLite starts no process

    Chosen.taken.append(new_database())
    return Chosen.taken[-1]


@contextlib.contextmanager
def on(kind: str) -> Iterator[None]:
    """Have stores on this database, and give back what was taken of it."""
    Chosen.kind = kind
    try:
        yield
    finally:
        Chosen.kind = SQLITE
        if Chosen.taken:
            from postgres_support import give_back

            for url in Chosen.taken:
                give_back(url)
            Chosen.taken.clear()


@contextlib.contextmanager
def postgres_database() -> Iterator[str]:
    """An empty PostgreSQL database, for `WorkflowTester.database`."""
    from postgres_support import database

    with database() as url:
        yield url
