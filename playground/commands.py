"""What an operator does beside serving: making, listing and revoking tenants' keys."""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from playground.engine.ids import SystemIds
from playground.settings import ENV_PREFIX, Settings
from playground.store.beside import beside
from playground.store.errors import StoreError
from playground.store.sqlite_tables import create_key, keys_of, revoke_key
from playground.web.tokens import KEY_NAME_LENGTH, KEY_PREFIX, digest
from playground.workflows import names
from playground.workflows.errors import InvalidName

TENANT_KEY = "tenant-key"
COMMANDS = (TENANT_KEY,)


class BadCommand(ValueError):
    """A command can't be understood or done; the message is one line that says why."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadCommand(f"{message}; `{self.prog} --help` says how it is used")


def run(arguments: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None] = print) -> None:
    """Do what the command line of a command in `COMMANDS` says.

    Raises:
        BadCommand: it can't be done.
        SystemExit: for --help, after printing.
    """
    given = _parser(environment).parse_args(arguments)
    try:
        names.check_name(given.tenant, "tenant")
        _ACTIONS[given.action](given, say)
    except (StoreError, InvalidName) as error:
        raise BadCommand(str(error)) from None


def _create(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    if len(given.name) > KEY_NAME_LENGTH or not given.name.isprintable():
        raise BadCommand(f"--name takes at most {KEY_NAME_LENGTH} printable characters")
    key = KEY_PREFIX + SystemIds().token()
    with beside(given.database) as db:
        number = create_key(db, given.tenant, given.name, digest(key), time.time_ns() // 1_000_000)
    say(key)
    say(f"Key {number} of tenant {given.tenant}. It is shown this once; only its hash is kept.")


def _list(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    with beside(given.database) as db:
        keys = keys_of(db, given.tenant)
    for key in keys:
        state = f"revoked {_date(key.revoked_at)}" if key.revoked_at else "good"
        say(f"{key.number}  made {_date(key.created_at)}  {state}  {key.name}".rstrip())
    if not keys:
        say(f"Tenant {given.tenant} has no key.")


def _revoke(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    with beside(given.database) as db:
        if not revoke_key(db, given.tenant, given.number, time.time_ns() // 1_000_000):
            raise BadCommand(f"tenant {given.tenant} has no key {given.number}; `playground {TENANT_KEY} list {given.tenant}` shows them")
    say(f"Key {given.number} of tenant {given.tenant} is revoked.")


_ACTIONS: Mapping[str, Callable[[argparse.Namespace, Callable[[str], None]], None]] = {
    "create": _create,
    "list": _list,
    "revoke": _revoke,
}


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="playground", description="Keys with which tenants deploy and run their own workflows.")
    commands = parser.add_subparsers(dest="command", required=True)
    keys = commands.add_parser(TENANT_KEY, help="make, list and revoke a tenant's keys", description=parser.description)
    actions = keys.add_subparsers(dest="action", required=True)
    made = {
        "create": actions.add_parser("create", help="make a key, and the tenant if it is new; prints the key once"),
        "list": actions.add_parser("list", help="the keys there are, without the keys themselves"),
        "revoke": actions.add_parser("revoke", help="take a key back; requests with it are refused from then on"),
    }
    for action in made.values():
        action.add_argument("tenant", help="the tenant's name")
        action.add_argument(
            "--database",
            default=environment.get(ENV_PREFIX + "DATABASE", Settings().database),
            help="the server's database (default: %(default)s)",
        )
    made["create"].add_argument("--name", default="", help="what the key is for, in the list")
    made["revoke"].add_argument("number", type=int, help="the number in the list")
    return parser


def _date(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
