"""`playground check FILE…`: the editor's diagnostics of workflows, in a terminal and in CI.

A file is parsed in an isolated worker and never run.
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
from playground.opening import open_configured_sandbox
from playground.sandbox.channel import FairReading
from playground.sandbox.pool import SandboxRefused
from playground.settings import ENV_PREFIX, BadSetting, Settings, from_environment
from playground.workflows.errors import Busy, TooLarge
from playground.workflows.names import CLASS_NAME, source_lines

CHECK = "check"
# Exit statuses: no finding that counts, at least one, a file that could not be checked.
CLEAN, FOUND, NOT_CHECKED = 0, 1, 2
COUNTS = {False: ("error",), True: ("error", "warning")}  # severities that count, by --strict
EXCERPT_CHARACTERS = 200  # of a line that is shown
PARKED_WORKERS = 1  # files are checked one after the other
MAKE_SHORTER = "move data out of the code, into params, or raise the limit with " + ENV_PREFIX + "SOURCE_BYTES"

_DESCRIPTION = "The editor's diagnostics of workflows, one per line. Files are parsed in an isolated worker, never run."
_EPILOG = (
    "Exit status: 0 without findings that count, 1 with some, 2 when a file could not be checked. "
    "docs/lint.md lists the findings."
)
_OPTIONS: Mapping[str, dict[str, Any]] = {
    "--strict": {"action": "store_true", "help": "warnings count too, not errors only"},
    "--format": {
        "choices": ("text", "json"),
        "default": "text",
        "help": "text: file:line:column: severity code message, on a terminal with the line and what fixes it; "
        "json: with ends and fixes",
    },
    "--cloudflare": {"action": "store_true", "help": "say, too, what exists only here, for who takes it to Cloudflare"},
    "--class-name": {"default": CLASS_NAME, "help": "the class that is deployed (default: %(default)s)"},
    "--allow-weak-sandbox": {"action": "store_true", "help": "as for the server: with the system-call filter only"},
    "--unsafe-no-sandbox": {"action": "store_true", "help": "as for the server: with NO isolation, for your own code"},
}


class BadCheck(Exception):
    """Nothing can be checked; the message is one line that says why."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadCheck(f"{message}; `{self.prog} --help` says how it is used")


@dataclass(frozen=True, slots=True)
class FileResult:
    """A file and its diagnostics; `problem` says why it could not be checked."""

    file: str
    diagnostics: tuple[dict[str, Any], ...] = ()
    problem: str = ""
    source: str = ""


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check the files of a command line and print the findings; returns the exit status.

    Raises:
        BadCheck: the arguments are wrong, or there is no isolation in which to parse a file.
        SystemExit: for --help, after printing.
    """
    options = build_parser().parse_args(arguments)
    try:
        settings = _settings(options, environment)
        checked = asyncio.run(_check_all(options.files, options.class_name, settings, cloudflare=options.cloudflare))
    except (BadSetting, SandboxRefused) as error:
        raise BadCheck(str(error)) from None
    for problem in (it.problem for it in checked if it.problem):
        print(f"playground: {problem}", file=sys.stderr)
    print(as_json(checked), flush=True) if options.format == "json" else _print_lines(
        checked, with_source=sys.stdout.isatty()
    )
    if any(it.problem for it in checked):
        return NOT_CHECKED
    counts = COUNTS[options.strict]
    return FOUND if any(found["severity"] in counts for it in checked for found in it.diagnostics) else CLEAN


def as_json(checked: Sequence[FileResult]) -> str:
    """An object with `files`: each with its name, whether it can run, and diagnostics as of `POST /api/check`, or the
    `problem`.
    """
    files = []
    for it in checked:
        ok = not it.problem and all(found["severity"] != "error" for found in it.diagnostics)
        more = {"problem": it.problem} if it.problem else {"diagnostics": it.diagnostics}
        files.append({"file": it.file, "ok": ok, **more})
    return json.dumps({"files": files}, indent=2)


def as_line(file: str, found: Mapping[str, Any]) -> str:
    """A finding in the format of compilers: file:line:column: severity code message."""
    message = " ".join(found["message"].split())
    return f"{file}:{found['line']}:{found['column']}: {found['severity']} {found['code']} {message}"


def as_excerpt(source: str, found: Mapping[str, Any]) -> str:
    """The line of a finding with a mark under its place, and what would fix it: for people on a terminal."""
    lines = source_lines(source)
    text = lines[found["line"] - 1] if found["line"] <= len(lines) else ""
    text = "".join(it if it.isprintable() else " " for it in text)[:EXCERPT_CHARACTERS]
    margin, start = f"{found['line']:>6} | ", found["column"] - 1
    end = found["end_column"] - 1 if found["end_line"] == found["line"] else len(text)
    mark = "^" * max(1, min(end, len(text)) - start)
    fix = f"\n{'fix: ':>9}{found['fix']['title']}" if "fix" in found else ""
    return f"{margin}{text}\n{' ' * len(margin)}{' ' * start}{mark}{fix}"


def _print_lines(checked: Sequence[FileResult], *, with_source: bool) -> None:
    lines = [
        as_line(it.file, found) + (f"\n{as_excerpt(it.source, found)}" if with_source else "")
        for it in checked
        for found in it.diagnostics
    ]
    if lines:
        print("\n".join(lines), flush=True)


async def _check_all(
    files: Sequence[str], class_name: str, settings: Settings, *, cloudflare: bool
) -> list[FileResult]:
    read = [(file, *_read_file(file, settings.source_bytes)) for file in files]
    if all(problem for _, _, problem in read):
        return [FileResult(file, problem=problem) for file, _, problem in read]
    sandbox = await open_configured_sandbox(settings, _ignore_log)
    try:
        checker = Checker(sandbox, settings.source_bytes, settings.check_seconds_per_minute, _now, FairReading())
        return [
            FileResult(file, problem=problem) if problem else await _check(checker, file, text, class_name, cloudflare)
            for file, text, problem in read
        ]
    finally:
        await sandbox.close()


async def _check(checker: Checker, file: str, text: str, class_name: str, cloudflare: bool) -> FileResult:
    try:
        found = await checker.check(text, class_name=class_name, cloudflare=cloudflare)
        return FileResult(file, found.diagnostics, source=text)
    except (Busy, TooLarge) as error:
        return FileResult(file, problem=f"{file}: {error}")


def _read_file(file: str, most: int) -> tuple[str, str]:
    """A file's text, and the problem where it can't be read. Reads at most one byte more than may be checked."""
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


def _settings(options: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    chosen = from_environment(environment)
    chosen |= {name: True for name in ("allow_weak_sandbox", "unsafe_no_sandbox") if getattr(options, name)}
    return Settings(**(chosen | {"parked_workers": PARKED_WORKERS}))


def _now() -> int:
    return time.time_ns() // 1_000_000


def _ignore_log(event: str, **fields: Any) -> None:
    """Drops the pool's log: what it warns of, such as missing namespaces, does not concern a check, and refusals are
    raised.
    """


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command."""
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
