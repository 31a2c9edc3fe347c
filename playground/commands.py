"""What an operator does beside serving: tenants' keys, and the keys that encrypt their secrets."""

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from playground.engine.ids import SystemIds
from playground.opening import keyring_of, private_text
from playground.settings import ENV_PREFIX, BadSetting, Settings, from_environment
from playground.store.encryption import BadKey, Keyring, new_key
from playground.store.errors import StoreError
from playground.store.open import open_key_admin
from playground.web.http.tokens import KEY_NAME_LENGTH, KEY_PREFIX, digest
from playground.workflows import names
from playground.workflows.errors import InvalidName

TENANT_KEY = "tenant-key"
SECRETS_KEY = "secrets-key"
COMMANDS = (TENANT_KEY, SECRETS_KEY)


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
    given.environment = environment
    try:
        if given.command == TENANT_KEY:
            names.check_name(given.tenant, "tenant")
        _ACTIONS[given.command][given.action](given, say)
    except (StoreError, InvalidName, BadSetting) as error:
        raise BadCommand(str(error)) from None


def _create(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    if len(given.name) > KEY_NAME_LENGTH or not given.name.isprintable():
        raise BadCommand(f"--name takes at most {KEY_NAME_LENGTH} printable characters")
    key = KEY_PREFIX + SystemIds().token()
    with open_key_admin(given.database) as admin:
        number = admin.add_key(given.tenant, given.name, digest(key), at=_now())
    say(key)
    say(f"Key {number} of tenant {given.tenant}. It is shown this once; only its hash is kept.")


def _list(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    with open_key_admin(given.database) as admin:
        keys = admin.keys(given.tenant)
    for key in keys:
        state = f"revoked {_date(key.revoked_at)}" if key.revoked_at else "good"
        say(f"{key.number}  made {_date(key.created_at)}  {state}  {key.name}".rstrip())
    if not keys:
        say(f"Tenant {given.tenant} has no key.")


def _revoke(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    with open_key_admin(given.database) as admin:
        if not admin.revoke_key(given.tenant, given.number, at=_now()):
            raise BadCommand(
                f"tenant {given.tenant} has no key {given.number}; `playground {TENANT_KEY} list {given.tenant}` shows "
                "them"
            )
    say(f"Key {given.number} of tenant {given.tenant} is revoked.")


def _make_key(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    path = Path(given.file)
    before = private_text(path) if path.exists() else ""
    try:
        keyring = Keyring.parse(before, str(path))
        text = f"# made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n{new_key()}\n{before}"
        made = Keyring.parse(text, str(path)).ids[0]
        aside = path.with_name(path.name + ".new")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        aside.replace(path)
    except BadKey as error:
        raise BadCommand(str(error)) from None
    except OSError as error:
        raise BadCommand(f"cannot write {path}: {error.strerror}; name a file in a folder of yours") from None
    if not keyring:
        say(
            f"Key {made} is in {path}. Start the server with --secrets-key-file {path}, and keep a copy apart from the "
            "database's backups."
        )
    else:
        say(
            f"Key {made} is the newest in {path}. Restart the server, then `playground {SECRETS_KEY} reencrypt`; until "
            "then the older keys stay needed."
        )


def _reencrypt(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    chosen = from_environment(
        {name: text for name, text in given.environment.items() if name.startswith(ENV_PREFIX + "SECRETS_KEY")}
    )
    if given.secrets_key_file:
        chosen = {"secrets_key_file": given.secrets_key_file}
    keyring = keyring_of(Settings(**chosen))
    if not keyring:
        raise BadCommand(f"there is no key to encrypt with; set {ENV_PREFIX}SECRETS_KEY or give --secrets-key-file")
    with open_key_admin(given.database) as admin:
        changed, done = admin.reencrypt(keyring)
    say(f"{changed} values are encrypted anew, with key {keyring.ids[0]}.")
    if done:
        say(f"Nothing here needs {' and '.join(done)} any more. Backups from before still do.")


def _forget(given: argparse.Namespace, say: Callable[[str], None]) -> None:
    with open_key_admin(given.database) as admin:
        if admin.is_served:
            raise BadCommand("the database is served; a key that its server has is not lost")
        gone = admin.forget_secrets_key(given.id)
    if gone is None:
        raise BadCommand(
            f"nothing in {given.database} is encrypted with a key {given.id[:40]!r}; the error at the server's start "
            "names it"
        )
    for tenant, name in gone:
        say(f"Secret {name} of tenant {tenant} is removed; it has to be set again.")
    say(
        f"Key {given.id} is forgotten. Runs with results that it encrypted cannot go on: the log names them "
        "(no_worker), and they can be deleted."
    )


_Action = Callable[[argparse.Namespace, Callable[[str], None]], None]

_ACTIONS: Mapping[str, Mapping[str, _Action]] = {
    TENANT_KEY: {"create": _create, "list": _list, "revoke": _revoke},
    SECRETS_KEY: {"make": _make_key, "reencrypt": _reencrypt, "forget": _forget},
}


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="playground", description="What an operator does beside serving.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_secrets_keys(commands, environment)
    tells = "Keys with which tenants deploy and run their own workflows."
    keys = commands.add_parser(TENANT_KEY, help="make, list and revoke a tenant's keys", description=tells)
    actions = keys.add_subparsers(dest="action", required=True)
    made = {
        "create": actions.add_parser("create", help="make a key, and the tenant if it is new; prints the key once"),
        "list": actions.add_parser("list", help="the keys there are, without the keys themselves"),
        "revoke": actions.add_parser("revoke", help="take a key back; requests with it are refused from then on"),
    }
    for action in made.values():
        action.add_argument("tenant", help="the tenant's name")
        _add_database(action, environment)
    made["create"].add_argument("--name", default="", help="what the key is for, in the list")
    made["revoke"].add_argument("number", type=int, help="the number in the list")
    return parser


def _add_secrets_keys(commands: "argparse._SubParsersAction[_Parser]", environment: Mapping[str, str]) -> None:
    tells = "Keys that encrypt tenants' secrets in the database. Newest first: the first encrypts, all decrypt."
    keys = commands.add_parser(
        SECRETS_KEY, help="make and change the keys that encrypt tenants' secrets", description=tells
    )
    actions = keys.add_subparsers(dest="action", required=True)
    made = actions.add_parser("make", help="make a file with a key, or put a newer one on top of those in it")
    made.add_argument("file", help="the file, which only you can read")
    again = actions.add_parser("reencrypt", help="encrypt with the newest key whatever an older one encrypted")
    again.add_argument(
        "--secrets-key-file",
        default="",
        help=f"the keys, where {ENV_PREFIX}SECRETS_KEY or {ENV_PREFIX}SECRETS_KEY_FILE do not say it",
    )
    lost = actions.add_parser(
        "forget", help="remove the secrets that a lost key encrypted, so that the server starts again"
    )
    lost.add_argument("id", help="the key's id, as the server's error has it")
    for action in (again, lost):
        _add_database(action, environment)


def _add_database(action: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    action.add_argument(
        "--database",
        default=environment.get(ENV_PREFIX + "DATABASE", Settings().database),
        help="the server's database (default: %(default)s)",
    )


def _now() -> int:
    return time.time_ns() // 1_000_000


def _date(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
