"""What a server and a program that embeds the engine open alike: the database and the workers, as the settings say."""

from pathlib import Path

from playground.log_lines import Log
from playground.sandbox.pool import Sandbox
from playground.settings import BadSetting, Settings, named
from playground.store import open_store
from playground.store.encryption import BadKey, Keyring
from playground.store.protocol import Store

OTHERS = 0o077  # what others than a file's owner may do with it


def store_of(settings: Settings, log: Log) -> Store:
    """See `open_store`, which blocks.

    Raises BadSetting: the keys for secrets can't be used; StoreError: they are not the right ones.
    """
    slow_seconds = settings.slow_commit_ms / 1000
    keyring = keyring_of(settings)
    store = open_store(
        settings.database, synchronous=settings.synchronous, log=log, slow_seconds=slow_seconds, keyring=keyring
    )
    if not keyring:
        log("secrets_plain")
    return store


def keyring_of(settings: Settings) -> Keyring:
    """The keys for secrets that the settings give, none where they give none.

    Raises:
        BadSetting: they can't be read, or somebody else may read them.
    """
    try:
        if not settings.secrets_key_file:
            return Keyring.parse(settings.secrets_key, named("secrets_key"))
        if settings.secrets_key:
            raise BadSetting(
                f"{named('secrets_key')} and {named('secrets_key_file')} are both given; give one of them, with all "
                "the keys in it"
            )
        keyring = Keyring.parse(
            private_text(Path(settings.secrets_key_file)), f"{named('secrets_key_file')} {settings.secrets_key_file}"
        )
    except BadKey as error:
        raise BadSetting(str(error)) from None
    if not keyring:
        raise BadSetting(
            f"{named('secrets_key_file')} {settings.secrets_key_file} has no key in it; `playground secrets-key make` "
            "adds one"
        )
    return keyring


def private_text(path: Path) -> str:
    """The text of a file that only its owner may read. Raises BadSetting."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadSetting(
            f"{named('secrets_key_file')} {path} cannot be read: {why}; `playground secrets-key make {path}` makes one"
        ) from None
    if mode & OTHERS:
        raise BadSetting(
            f"{named('secrets_key_file')} {path} can be read by others than its owner (mode {mode & 0o777:04o}); do "
            f"`chmod 600 {path}`"
        )
    return text


async def sandbox_of(settings: Settings, log: Log, *, loopback: bool = True) -> Sandbox:
    """See `Sandbox.open`; `loopback` says that nobody beyond this machine can have code run."""
    return await Sandbox.open(
        memory_bytes=settings.worker_memory_bytes,
        cpu_seconds=settings.worker_cpu_seconds,
        parked=settings.parked_workers,
        allow_weak=settings.allow_weak_sandbox,
        unsafe=settings.unsafe_no_sandbox,
        loopback=loopback,
        log=log,
    )
