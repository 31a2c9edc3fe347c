"""How a command ends: its exit status, in one table that --help and docs/terminal.md show, and the error that ends it.

A status says how the *run* ended where the command has followed one to its end; otherwise how the command did.
"""

from collections.abc import Mapping

from playground.workflows import events as ev

OK = 0
FAILED = 1
BAD_USE = 2
TERMINATED = 3
LOST = 4
DIFFERS = 5
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE = 141  # 128 + SIGPIPE

EXIT_STATUSES: Mapping[int, str] = {
    OK: "the run is complete; of another command: it is done",
    FAILED: "the run ended with an error; of `check`: errors were found; of `doctor`: something must be put right",
    BAD_USE: "nothing was done: a wrong option, a file or server that is not there, a refused source or request",
    TERMINATED: "the run was terminated",
    LOST: "the run can't be followed any longer: its server stayed away, or it was deleted",
    DIFFERS: "of `test`: a crash changes how the run ends",
    INTERRUPTED: "Ctrl-C: the run is left as it is, and the last line says how to follow it again",
    BROKEN_PIPE: "the reader of the output has gone, as with `| head`",
}
OF_STATUS: Mapping[str, int] = {ev.COMPLETE: OK, ev.ERRORED: FAILED, ev.TERMINATED: TERMINATED}


class BadCommand(Exception):
    """A command can't be carried out; the message is one line that says why and what to do."""


def table() -> str:
    """The table as --help shows it."""
    return "\n".join(f"  {status:>3}  {text}" for status, text in EXIT_STATUSES.items())
