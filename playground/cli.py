"""The command line, made from the table of settings: every row is an option and an environment variable."""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from playground.settings import ENV_PREFIX, BadSetting, Settings, from_environment, is_switch, read

BAD_USE = 2  # exit status for anything the operator has to put right before it can serve

_EPILOG = "`playground tenant-key --help`: keys for tenants; `playground secrets-key --help`: keys that encrypt their secrets. An option wins over its environment variable. Stop with Ctrl-C or SIGTERM: runs are kept, and go on at the next start."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadSetting(f"{message}; `playground --help` lists every option")


def option(name: str) -> str:
    """The option of a setting."""
    return "--" + name.replace("_", "-")


def parser() -> argparse.ArgumentParser:
    """The parser of `playground`; values are read by the settings table, so that options and variables follow the same rules."""
    parser = _Parser(
        prog="playground",
        description="The playground for dynamic durable workflows: serves the page, and runs workflows in isolated workers.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=120),
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    for row in dataclasses.fields(Settings):
        kind: dict[str, Any] = {"metavar": _metavar(row)}
        if type(row.default) is bool or is_switch(row.metadata["choices"]):
            kind |= {"nargs": "?", "const": "yes"}
        parser.add_argument(option(row.name), dest=row.name, default=None, help=_help(row), **kind)
    return parser


def settings_from(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command line and an environment; options win.

    Raises:
        BadSetting: an option is unknown, or a value can't be used; one line says which and what would do.
        SystemExit: for --help and --version, after printing.
    """
    given = vars(parser().parse_args(arguments))
    if given.pop("version"):
        from playground.serving import program_version

        print(f"playground {program_version()}")
        raise SystemExit(0)
    values = {name: read(name, text, option(name)) for name, text in given.items() if text is not None}
    return Settings(**(from_environment(environment) | values))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run `playground`; returns its exit status."""
    if arguments and not arguments[0].startswith("-"):
        return _command(arguments, environment)
    try:
        settings = settings_from(arguments, environment)
    except BadSetting as error:
        return complain(str(error))
    from playground.serving import CannotServe, serve  # late, so that --help and a bad option answer at once

    try:
        serve(settings)
    except CannotServe as error:
        return complain(str(error))
    return 0


def _command(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    from playground.commands import COMMANDS, BadCommand, run  # late, as below

    if arguments[0] not in COMMANDS:
        return complain(f"there is no command {arguments[0][:60]!r}; `playground` alone serves, and there are {' and '.join(f'`playground {it}`' for it in COMMANDS)}")
    try:
        run(arguments, environment)
    except BadCommand as error:
        return complain(str(error))
    return 0


def complain(sentence: str) -> int:
    """Say on one line of stderr why it does not start; returns the exit status."""
    print("playground: " + " ".join(sentence.split()), file=sys.stderr)
    return BAD_USE


def _metavar(row: Any) -> str:
    if row.metadata["choices"]:
        return "|".join(row.metadata["choices"])
    if type(row.default) is bool:
        return "yes|no"
    return "N" if type(row.default) is int else row.name.rpartition("_")[2].upper()


def _help(row: Any) -> str:
    default = ("yes" if row.default else "no") if type(row.default) is bool else row.default
    unit = f" {row.metadata['unit']}" if row.metadata["unit"] else ""
    shown = "none" if default == "" else f"{default}{unit}"
    return f"{row.metadata['help']} (default: {shown}; {ENV_PREFIX}{row.name.upper()})".replace("%", "%%")
