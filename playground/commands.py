"""The operator's commands: `tenant-key` for tenants' keys, `secrets-key` for the keys that encrypt their secrets,
`audit` for who changed what, `backup` for a file with all of it, and `copy` for moving to another database.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from playground.engine.ids import SystemIds
from playground.opening import configured_keyring, read_private_file
from playground.progress import ProgressLine
from playground.settings import ENV_PREFIX, BadSetting, Settings, from_environment, without_password
from playground.store.audit import DONE
from playground.store.copying import Copied, copy_database
from playground.store.encryption import BadKey, Keyring, new_key
from playground.store.errors import StoreError
from playground.store.open import back_up, check_backup, open_for_copy, open_key_admin
from playground.web.http.tokens import KEY_NAME_LENGTH, KEY_PREFIX, digest
from playground.workflows import names
from playground.workflows.errors import InvalidName

TENANT_KEY = "tenant-key"
SECRETS_KEY = "secrets-key"
COPY = "copy"
AUDIT = "audit"
BACKUP = "backup"
COMMANDS = (TENANT_KEY, SECRETS_KEY, COPY, AUDIT, BACKUP)
AUDIT_DEFAULT, AUDIT_MOST = 100, 100_000  # entries that are printed
BACKUP_MEGABYTES = 64  # a second, so that a disk has time for the server too
MEGABYTE = 1_000_000


class BadCommand(ValueError):
    """A command is wrong or failed; the message is one line that says why."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadCommand(f"{message}; `{self.prog} --help` says how it is used")


def run(arguments: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None] = print) -> None:
    """Run the command line of a command in `COMMANDS`.

    Raises:
        BadCommand: it is wrong, or it failed.
        SystemExit: for --help, after printing.
    """
    options = _parser(environment).parse_args(arguments)
    options.environment = environment
    try:
        if options.command == TENANT_KEY:
            names.check_name(options.tenant, "tenant")
        if options.command == COPY:
            _copy(options, say)
        elif options.command == BACKUP:
            _back_up(options, say)
        elif options.command == AUDIT:
            _print_audit(options, say)
        else:
            _ACTIONS[options.command][options.action](options, say)
    except (StoreError, InvalidName, BadSetting) as error:
        raise BadCommand(str(error)) from None


def _create_tenant_key(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    if len(options.name) > KEY_NAME_LENGTH or not options.name.isprintable():
        raise BadCommand(f"--name takes at most {KEY_NAME_LENGTH} printable characters")
    key = KEY_PREFIX + SystemIds().token()
    with open_key_admin(options.database) as admin:
        number = admin.add_key(options.tenant, options.name, digest(key), at=_now())
    say(key)
    say(f"Key {number} of tenant {options.tenant}. It is shown this once; only its hash is kept.")


def _list_tenant_keys(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    with open_key_admin(options.database) as admin:
        keys = admin.keys(options.tenant)
    for key in keys:
        state = f"revoked {_date(key.revoked_at)}" if key.revoked_at else "good"
        say(f"{key.number}  made {_date(key.created_at)}  {state}  {key.name}".rstrip())
    if not keys:
        say(f"Tenant {options.tenant} has no key.")


def _revoke_tenant_key(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    with open_key_admin(options.database) as admin:
        if not admin.revoke_key(options.tenant, options.number, at=_now()):
            raise BadCommand(
                f"tenant {options.tenant} has no key {options.number}; `playground {TENANT_KEY} list {options.tenant}` "
                "shows them"
            )
    say(f"Key {options.number} of tenant {options.tenant} is revoked.")


def _make_secrets_key(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    path = Path(options.file)
    before = read_private_file(path) if path.exists() else ""
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


def _reencrypt(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    chosen = from_environment(
        {name: text for name, text in options.environment.items() if name.startswith(ENV_PREFIX + "SECRETS_KEY")}
    )
    if options.secrets_key_file:
        chosen = {"secrets_key_file": options.secrets_key_file}
    keyring = configured_keyring(Settings(**chosen))
    if not keyring:
        raise BadCommand(f"there is no key to encrypt with; set {ENV_PREFIX}SECRETS_KEY or give --secrets-key-file")
    with open_key_admin(options.database) as admin:
        changed, done = admin.reencrypt(keyring)
    say(f"{changed} values are encrypted anew, with key {keyring.ids[0]}.")
    if done:
        say(f"Nothing here needs {' and '.join(done)} any more. Backups from before still do.")


def _forget_secrets_key(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    with open_key_admin(options.database) as admin:
        if admin.is_served:
            raise BadCommand("the database is served; a key that its server has is not lost")
        gone = admin.forget_secrets_key(options.id)
    if gone is None:
        raise BadCommand(
            f"nothing in {without_password(options.database)} is encrypted with a key {options.id[:40]!r}; the error "
            "at the server's start names it"
        )
    for tenant, name in gone:
        say(f"Secret {name} of tenant {tenant} is removed; it has to be set again.")
    say(
        f"Key {options.id} is forgotten. Runs with results that it encrypted cannot go on: the log names them "
        "(no_worker), and they can be deleted."
    )


def _print_audit(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    if not 1 <= options.limit <= AUDIT_MOST:
        raise BadCommand(f"--limit takes 1 to {AUDIT_MOST:,} entries, not {options.limit:,}")
    if options.tenant is not None:
        names.check_name(options.tenant, "tenant")
    with open_key_admin(options.database) as admin:
        found = admin.audit(options.tenant, limit=options.limit)
    for entry in reversed(found):
        if options.json:
            say(json.dumps(entry._asdict(), ensure_ascii=False))
            continue
        whose = f"{entry.tenant}: " if entry.tenant else ""
        outcome = "" if entry.outcome == DONE else f"  REFUSED {entry.outcome}"
        who = f"{entry.actor} from {entry.address}" if entry.address else entry.actor
        say(f"{_date(entry.at)}  {whose}{entry.action} {entry.target}  by {who}{outcome}")
    if not found and not options.json:
        say("The audit log has no entry" + (f" about tenant {options.tenant}." if options.tenant else "."))


def _back_up(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    if (options.to is None) == (options.check is None):
        raise BadCommand("give --to FILE for a backup, or --check FILE to look at one")
    if options.rate < 0:
        raise BadCommand("--megabytes-per-second takes a number from 1, or 0 for no limit")
    line = ProgressLine(sys.stderr, time.monotonic)

    def show(what: str, done: int, total: int) -> None:
        line.show(what, done, total, "pages" if what.endswith("pages") else "rows")

    try:
        if options.to is not None:
            work = back_up(options.database, Path(options.to), show, bytes_per_second=options.rate * MEGABYTE)
        else:
            work = check_backup(Path(options.check), show)
        found = asyncio.run(work)
    except KeyboardInterrupt:
        raise BadCommand("it was stopped; what there is of a backup ends in .partial") from None
    finally:
        line.end()
    rows, instances = sum(digest.count for digest in found.values()), found["instance"].count
    verb = "is whole" if options.to is None else "is the database of now"
    say(
        f"{options.to or options.check} {verb}: {rows:,} rows, {instances:,} instances whose journals fold to their "
        f"rows; digest of the events {found['event'].text[:16]}."
    )


def _copy(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    if options.source == options.target:
        raise BadCommand("--from and --to name the same database")
    line = ProgressLine(sys.stderr, time.monotonic)

    async def work() -> Copied:
        async with (
            open_for_copy(options.source, is_source=True) as source,
            open_for_copy(options.target, is_source=False) as target,
        ):
            return await copy_database(source, target, line.show)

    try:
        copied = asyncio.run(work())
    except KeyboardInterrupt:
        raise BadCommand("the copy was stopped; the same command goes on with it") from None
    finally:
        line.end()
    say(f"{'table':<16}{'rows':>14}  digest")
    for name, found in copied.tables.items():
        say(f"{name:<16}{found.count:>14,}  {found.text[:16]}")
    again = f", {copied.resumed:,} of them by an earlier attempt" if copied.resumed else ""
    rows = sum(found.count for found in copied.tables.values())
    say(
        f"{rows:,} rows are copied{again}, and read back with the same counts and digests. Servers may be started with "
        f"--database {without_password(options.target)}; start none on the source any more."
    )


_Action = Callable[[argparse.Namespace, Callable[[str], None]], None]

_ACTIONS: Mapping[str, Mapping[str, _Action]] = {
    TENANT_KEY: {"create": _create_tenant_key, "list": _list_tenant_keys, "revoke": _revoke_tenant_key},
    SECRETS_KEY: {"make": _make_secrets_key, "reencrypt": _reencrypt, "forget": _forget_secrets_key},
}


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="playground", description="The operator's commands.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_secrets_keys(commands, environment)
    _add_copy(commands)
    _add_audit(commands, environment)
    _add_backup(commands, environment)
    description = "Keys with which tenants deploy and run their own workflows."
    keys = commands.add_parser(TENANT_KEY, help="make, list and revoke a tenant's keys", description=description)
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


def parsers(environment: Mapping[str, str]) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (commands,) = (it for it in _parser(environment)._actions if isinstance(it, argparse._SubParsersAction))
    return dict(commands.choices)


def _add_secrets_keys(commands: "argparse._SubParsersAction[_Parser]", environment: Mapping[str, str]) -> None:
    description = "Keys that encrypt tenants' secrets in the database. Newest first: the first encrypts, all decrypt."
    keys = commands.add_parser(
        SECRETS_KEY, help="make and change the keys that encrypt tenants' secrets", description=description
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


def _add_copy(commands: "argparse._SubParsersAction[_Parser]") -> None:
    description = (
        "Copies all of a database into an empty one, from SQLite to PostgreSQL or back, and checks it. No server may "
        "have either open. A copy that was stopped goes on with the same command."
    )
    copy = commands.add_parser(COPY, help="copy a database into another", description=description)
    copy.add_argument("--from", dest="source", metavar="URL", required=True, help="the database to read")
    copy.add_argument(
        "--to", dest="target", metavar="URL", required=True, help="an empty database, or one not yet made"
    )


def _add_audit(commands: "argparse._SubParsersAction[_Parser]", environment: Mapping[str, str]) -> None:
    description = "Prints who changed what of the server's tenants, oldest first. A server may have the database open."
    audit = commands.add_parser(AUDIT, help="print who changed what", description=description)
    audit.add_argument("--tenant", help="of this tenant only")
    audit.add_argument(
        "--limit", type=int, default=AUDIT_DEFAULT, metavar="N", help="the newest N entries (default: %(default)s)"
    )
    audit.add_argument("--json", action="store_true", help="a line of JSON each")
    _add_database(audit, environment)


def _add_backup(commands: "argparse._SubParsersAction[_Parser]", environment: Mapping[str, str]) -> None:
    description = (
        "Writes a SQLite database into a file while a server uses it: its state at one point in time, read back and "
        "compared table by table; each journal is folded and compared with its row. To restore: stop the server, check "
        "the file, put it in the place of the database, and remove the database's -wal and -shm files."
    )
    backup = commands.add_parser(BACKUP, help="back a database up, or check a backup", description=description)
    backup.add_argument("--to", metavar="FILE", help="the file to write, which must not exist")
    backup.add_argument("--check", metavar="FILE", help="a backup to read and check; nothing is written")
    backup.add_argument(
        "--megabytes-per-second",
        dest="rate",
        type=int,
        default=BACKUP_MEGABYTES,
        metavar="N",
        help="copy at most so much, so that the server has the disk too; 0 is no limit (default: %(default)s)",
    )
    _add_database(backup, environment)


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
