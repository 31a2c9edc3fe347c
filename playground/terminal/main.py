"""Carries out a command of the terminal: parses it, opens its place and screen, and says on one line what goes wrong.

Commands are imported when they are used, so that --help and a wrong option respond at once.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from playground.terminal.outcomes import BROKEN_PIPE, INTERRUPTED, OK, BadCommand
from playground.terminal.parser import SUMMARIES, build_parser

if TYPE_CHECKING:
    from playground.terminal.places import Place
    from playground.terminal.screen import Screen

COMMANDS = tuple(SUMMARIES)


Parsers = Callable[[], tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]]


def main(arguments: Sequence[str], environment: Mapping[str, str], parsers: Parsers) -> int:
    """Run a command of COMMANDS; returns its exit status. `parsers`: of the program, and of its other commands.

    Raises:
        BadCommand: it is wrong, or can't be carried out.
        SystemExit: for --help, after printing.
    """
    options, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        words = " ".join(unknown)[:100]
        raise BadCommand(f"{words} is unknown here; `playground {options.command} --help` says how it is used")
    options.left = None  # the run that is left where it is stopped
    if options.command == "completion":
        from playground.terminal.completion import script

        print(script(options.shell, *parsers()), end="")
        return OK
    try:
        return _carry_out(options, environment)
    except BadCommand as error:  # a server's words may be in it
        from playground.terminal.narration import plain

        raise BadCommand(plain(str(error))) from None


def _carry_out(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from playground.client import ClientError, NotAllowed, NotReached
    from playground.client.connection import PATIENCE_SECONDS
    from playground.settings import BadSetting
    from playground.terminal.following import Lost, follow_words
    from playground.terminal.places import TOKEN, not_reached, place_of
    from playground.terminal.screen import leave_pipe, standard_screen

    try:
        server, database = getattr(options, "server", None), getattr(options, "database", None)
        tenant, patience = getattr(options, "tenant", None), getattr(options, "patience", PATIENCE_SECONDS)
        place = place_of(environment, server, tenant, database, patience)
        screen = standard_screen(environment, options.format)
        return asyncio.run(_act(options, place, screen))
    except KeyboardInterrupt:
        if options.left is not None:
            screen.json("left", run=options.left, follow=follow_words(place, options.left))
            screen.error(f"left. Follow it again with: {follow_words(place, options.left)}")
        return INTERRUPTED
    except BrokenPipeError:
        leave_pipe()
        return BROKEN_PIPE
    except Lost as error:
        screen.error(str(error))
        return Lost.status
    except NotReached as error:
        raise BadCommand(not_reached(place, error)) from None
    except NotAllowed as error:
        hint = f" It was taken from {TOKEN}." if place.token else ""
        raise BadCommand(f"{error.message}{hint} ({error.code})") from None
    except ClientError as error:
        code = getattr(error, "code", "")
        raise BadCommand(f"{error}{f' ({code})' if code else ''}") from None
    except BadSetting as error:
        raise BadCommand(str(error)) from None


async def _act(options: argparse.Namespace, place: "Place", screen: "Screen") -> int:
    """Each command imports what it needs: `test` and `doctor` have the engine with them, `runs` on a server has not."""
    match options.command:
        case "run":
            from playground.terminal.running import run

            return await run(options, place, screen)
        case "runs":
            from playground.terminal.runs import runs

            return await runs(options, place, screen)
        case "inbox":
            from playground.terminal.inbox import inbox

            return await inbox(options, place, screen)
        case "test":
            from playground.terminal.crash_test import test

            return await test(options, place, screen)
        case "packages":
            from playground.terminal.packages import packages

            return await packages(options, place, screen)
        case "doctor":
            from playground.terminal.doctor import doctor

            return await doctor(options, place, screen)
        case "deploy":
            from playground.terminal.tenants import deploy

            return await deploy(options, place, screen)
        case "import":
            from playground.terminal.importing import import_project

            return import_project(options, screen)
        case "export":
            from playground.terminal.exporting import export

            return await export(options, place, screen)
    from playground.terminal.tenants import act

    return await act(options, place, screen)
