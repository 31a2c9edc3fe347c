"""Runs as files in a terminal: `runs export` writes one, `runs show` reads it.

A file goes to standard output as it comes, whatever `--format` says, and nothing is kept of it but its last line: one
that was cut off is said to be.
"""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from playground.client import RunOf
from playground.runfiles.format import BadRunFile, Head, RunFile, read_run_file
from playground.runfiles.written_test import write_test
from playground.terminal.narration import moment, plain
from playground.terminal.outcomes import OK, BadCommand
from playground.terminal.screen import Screen
from playground.web.api.response_types import Instance
from playground.workflows.errors import CannotBeATest
from playground.workflows.state import fold

LAST_LINE_BYTES = 1_024  # more than the line that ends a file has


def is_file(name: str) -> bool:
    """Whether an argument names a file, and no run: an id has neither a dot nor a slash."""
    return "." in name or "/" in name


def read_file(name: str) -> RunFile:
    """The run in a file. Raises BadCommand."""
    try:
        with Path(name).open("rb") as opened:
            return read_run_file(opened)
    except BadRunFile as error:
        raise BadCommand(f"{name} can't be read: {error}") from None
    except IsADirectoryError:
        raise BadCommand(f"{name} is a folder; name a file") from None
    except OSError as error:
        raise BadCommand(f"cannot read {name}: {error.strerror}") from None


def view_of(file: RunFile) -> Instance:
    """A run in a file, as the API shows one."""
    head = file.head
    of_server = {"url": "", "snippet": head.code.version, "queue": None, "kept_until": None}
    shown = {"id": head.id, "workflow": head.workflow, "code_version": head.code.version, **of_server}
    with sensible_journal():
        return msgspec.convert(fold(file.events).as_json() | shown, Instance)


@contextlib.contextmanager
def sensible_journal() -> Iterator[None]:
    """What folds and tells the events of a file, of whose data nobody has checked anything. Raises BadCommand."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError, OverflowError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise BadCommand(f"the journal in the file makes no sense: {type(error).__name__}: {error}") from None


def file_words(head: Head, name: str) -> str:
    """Where a run comes from that was read from a file."""
    return plain(f"{name}, written by playground {head.product}, {moment(head.written_at, 0)}")


def export_file(options: argparse.Namespace, screen: Screen) -> int:
    """Print the test of a run that is in a file. Raises BadCommand."""
    if not options.as_test:
        raise BadCommand(f"{options.id} is a file already; with --as-test it becomes a test")
    found = read_file(options.id)
    try:
        with sensible_journal():
            screen.bytes(write_test(found.head, found.events).encode())
    except CannotBeATest as refused:
        raise BadCommand(refused.message) from None
    return OK


async def print_export(run: RunOf, screen: Screen) -> None:
    """Print a run as a file. Raises BadCommand: it was cut off."""
    last = b""
    async for part in run.export():
        screen.bytes(part)
        last = (last + part)[-LAST_LINE_BYTES:]
    if not last.rpartition(b"\n{")[2].startswith(b'"end":true'):
        raise BadCommand("the file is cut off: the run was deleted meanwhile, or its server's database is away")
