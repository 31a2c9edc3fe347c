"""`playground check FILE…`: what the editor says of a workflow, in a terminal and in CI.

A file is parsed in a locked worker and never run.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from playground.engine.code.checker import Checker
from playground.opening import sandbox_of
from playground.sandbox.channel import FairReading
from playground.sandbox.pool import SandboxRefused
from playground.settings import ENV_PREFIX, BadSetting, Settings, from_environment
from playground.workflows.errors import Busy, TooLarge
from playground.workflows.names import CLASS_NAME

CHECK = "check"
# Exit statuses: nothing that counts was found, something was, a file could not be looked at.
CLEAN, FOUND, NOT_DONE = 0, 1, 2
COUNTS = {False: ("error",), True: ("error", "warning")}  # severities that end with FOUND, by --strict
ALONE = 1  # parked worker, since files are looked at one after the other
MAKE_SHORTER = "move data out of the code, into params, or raise the limit with " + ENV_PREFIX + "SOURCE_BYTES"

_DESCRIPTION = "What the editor says of workflows, a finding to a line. Files are parsed in a locked worker, never run."
_EPILOG = (
    "Exit status: 0 when nothing that counts was found, 1 when something was, 2 when a file could not be looked at. "
    "docs/lint.md lists the findings."
)
_OPTIONS: Mapping[str, dict[str, Any]] = {
    "--strict": {"action": "store_true", "help": "warnings count too, not errors only"},
    "--format": {
        "choices": ("text", "json"),
        "default": "text",
        "help": "text: file:line:column: severity code message; json: with ends and fixes",
    },
    "--class-name": {"default": CLASS_NAME, "help": "the class that is deployed (default: %(default)s)"},
    "--allow-weak-sandbox": {"action": "store_true", "help": "as for the server: with the system-call filter only"},
    "--unsafe-no-sandbox": {"action": "store_true", "help": "as for the server: with NO isolation, for your own code"},
}


class BadCheck(Exception):
    """The check can't be done; the message is one line that says why."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadCheck(f"{message}; `{self.prog} --help` says how it is used")


@dataclass(frozen=True, slots=True)
class Checked:
    """A file and what was found in it; `problem` says why it could not be looked at."""

    file: str
    diagnostics: tuple[dict[str, Any], ...] = ()
    problem: str = ""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check the files of a command line and print what was found; returns the exit status.

    Raises:
        BadCheck: nothing could be looked at: the arguments are wrong, or there is no isolation to parse a file in.
        SystemExit: for --help, after printing.
    """
    given = _parser().parse_args(arguments)
    try:
        settings = _settings(given, environment)
        checked = asyncio.run(_check_all(given.files, given.class_name, settings))
    except (BadSetting, SandboxRefused) as error:
        raise BadCheck(str(error)) from None
    for problem in (it.problem for it in checked if it.problem):
        print(f"playground: {problem}", file=sys.stderr)
    print(as_json(checked), flush=True) if given.format == "json" else _print_lines(checked)
    if any(it.problem for it in checked):
        return NOT_DONE
    counts = COUNTS[given.strict]
    return FOUND if any(found["severity"] in counts for it in checked for found in it.diagnostics) else CLEAN


def as_json(checked: Sequence[Checked]) -> str:
    """An object with `files`: name, whether it can run, and findings as of `POST /api/check`, or the `problem`."""
    files = []
    for it in checked:
        ok = not it.problem and all(found["severity"] != "error" for found in it.diagnostics)
        more = {"problem": it.problem} if it.problem else {"diagnostics": it.diagnostics}
        files.append({"file": it.file, "ok": ok, **more})
    return json.dumps({"files": files}, indent=2)


def as_line(file: str, found: Mapping[str, Any]) -> str:
    """A finding as compilers print theirs: file:line:column: severity code message."""
    message = " ".join(found["message"].split())
    return f"{file}:{found['line']}:{found['column']}: {found['severity']} {found['code']} {message}"


def _print_lines(checked: Sequence[Checked]) -> None:
    lines = [as_line(it.file, found) for it in checked for found in it.diagnostics]
    if lines:
        print("\n".join(lines), flush=True)


async def _check_all(files: Sequence[str], class_name: str, settings: Settings) -> list[Checked]:
    read = [(file, *_text(file, settings.source_bytes)) for file in files]
    if all(problem for _, _, problem in read):
        return [Checked(file, problem=problem) for file, _, problem in read]
    sandbox = await sandbox_of(settings, _nothing)
    try:
        checker = Checker(sandbox, settings.source_bytes, settings.check_seconds_per_minute, _now, FairReading())
        return [
            Checked(file, problem=problem) if problem else await _check(checker, file, text, class_name)
            for file, text, problem in read
        ]
    finally:
        await sandbox.close()


async def _check(checker: Checker, file: str, text: str, class_name: str) -> Checked:
    try:
        return Checked(file, (await checker.check(text, class_name=class_name)).diagnostics)
    except (Busy, TooLarge) as error:
        return Checked(file, problem=f"{file}: {error}")


def _text(file: str, most: int) -> tuple[str, str]:
    """A file's text, or why there is none. Reads no more of it than may be checked."""
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(most + 1)
        if len(data) > most:
            return "", f"{file} is larger than {most:,} bytes, the limit of a source; {MAKE_SHORTER}"
        return data.decode("utf-8"), ""
    except UnicodeDecodeError as error:
        return "", f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except IsADirectoryError:
        return "", f"{file} is a folder; name its files, for example {file.rstrip('/')}/*.py"
    except OSError as error:
        return "", f"cannot read {file}: {error.strerror}"
    except ValueError:
        return "", f"cannot read {file!r}: no file has such a name"


def _settings(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    chosen = from_environment(environment)
    chosen |= {name: True for name in ("allow_weak_sandbox", "unsafe_no_sandbox") if getattr(given, name)}
    return Settings(**(chosen | {"parked_workers": ALONE}))


def _now() -> int:
    return time.time_ns() // 1_000_000


def _nothing(event: str, **fields: Any) -> None:
    """The pool's own troubles, such as a machine that allows no namespaces, hinder no check; a refusal is raised."""


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"playground {CHECK}",
        allow_abbrev=False,
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a workflow's source")
    for option, more in _OPTIONS.items():
        parser.add_argument(option, **more)
    return parser
