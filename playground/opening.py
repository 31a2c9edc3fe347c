"""Opens the database, the packages and the sandbox by the settings, for a server and for a program that embeds us."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

from playground.log_lines import Log
from playground.packages.installation import PackageSet, install
from playground.packages.requirements import PackagesRefused, read_requirements
from playground.sandbox.pool import Sandbox
from playground.settings import BadSetting, Settings, setting_label
from playground.store import open_store
from playground.store.encryption import BadKey, Keyring
from playground.store.protocol import Store

OTHERS_MODE = 0o077  # permission bits of others than a file's owner


def open_configured_store(settings: Settings, log: Log) -> Store:
    """Open the store of the settings; blocks, like `open_store`.

    Raises:
        BadSetting: the keys for secrets can't be used.
        StoreError: the database can't be used, or its secrets need other keys.
    """
    slow_seconds = settings.slow_commit_ms / 1000
    keyring = configured_keyring(settings)
    store = open_store(
        settings.database,
        synchronous=settings.synchronous,
        log=log,
        slow_seconds=slow_seconds,
        keyring=keyring,
        outage_seconds=settings.database_outage_seconds,
    )
    if not keyring:
        log("secrets_plain")
    return store


def configured_keyring(settings: Settings) -> Keyring:
    """The keys for secrets in the settings; an empty keyring where there are none.

    Raises:
        BadSetting: they can't be read, or others than their owner may read them.
    """
    try:
        if not settings.secrets_key_file:
            return Keyring.parse(settings.secrets_key, setting_label("secrets_key"))
        if settings.secrets_key:
            raise BadSetting(
                f"{setting_label('secrets_key')} and {setting_label('secrets_key_file')} are both given; give one of "
                "them, with all the keys in it"
            )
        keyring = Keyring.parse(
            read_private_file(Path(settings.secrets_key_file)),
            f"{setting_label('secrets_key_file')} {settings.secrets_key_file}",
        )
    except BadKey as error:
        raise BadSetting(str(error)) from None
    if not keyring:
        raise BadSetting(
            f"{setting_label('secrets_key_file')} {settings.secrets_key_file} has no key in it; `playground "
            "secrets-key make` adds one"
        )
    return keyring


def read_private_file(path: Path) -> str:
    """The text of a file that only its owner may read. Raises BadSetting."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadSetting(
            f"{setting_label('secrets_key_file')} {path} cannot be read: {why}; `playground secrets-key make "
            f"{path}` makes one"
        ) from None
    if mode & OTHERS_MODE:
        raise BadSetting(
            f"{setting_label('secrets_key_file')} {path} can be read by others than its owner (mode "
            f"{mode & 0o777:04o}); do `chmod 600 {path}`"
        )
    return text


PACKAGES_FOLDER = "playground-packages"
_SQLITE = "sqlite:///"


def packages_folder(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where packages are installed. Raises BadSetting where nobody says."""
    if settings.packages_folder:
        return Path(settings.packages_folder).resolve()
    if settings.database.startswith(_SQLITE):
        return Path(settings.database.removeprefix(_SQLITE)).resolve().parent / PACKAGES_FOLDER
    cache, home = environment.get("XDG_CACHE_HOME"), environment.get("HOME")
    if not cache and not home:
        raise BadSetting(f"{setting_label('packages_folder')} is empty, and there is no HOME; name a folder")
    return (Path(cache) if cache else Path(home or "", ".cache")).resolve() / PACKAGES_FOLDER


def install_configured_packages(settings: Settings, environment: Mapping[str, str]) -> PackageSet | None:
    """The packages of the settings, installed if they are not; None where there are none. Blocks.

    Raises:
        BadSetting: the file can't be used, or its packages can't be installed.
    """
    if not settings.packages:
        return None
    try:
        return install(read_requirements(Path(settings.packages)), packages_folder(settings, environment))
    except PackagesRefused as error:
        raise BadSetting(f"{setting_label('packages')}: {error}") from None


async def open_configured_sandbox(settings: Settings, log: Log, *, loopback: bool = True) -> Sandbox:
    """Open the sandbox of the settings, see `Sandbox.open`. `loopback`: only this machine can send code.

    Raises:
        BadSetting: its packages can't be had.
        SandboxRefused: the isolation is too weak, or does not hold.
    """
    began = time.monotonic()
    packages = await asyncio.to_thread(install_configured_packages, settings, os.environ)
    if packages is not None:
        named = ", ".join(f"{it.name} {it.version}" for it in packages.packages)
        log("packages", packages=named, seconds=round(time.monotonic() - began, 2))
    return await Sandbox.open(
        memory_bytes=settings.worker_memory_bytes,
        cpu_seconds=settings.worker_cpu_seconds,
        parked=settings.parked_workers,
        allow_weak=settings.allow_weak_sandbox,
        unsafe=settings.unsafe_no_sandbox,
        loopback=loopback,
        packages=packages,
        preload=settings.packages_preload,
        log=log,
    )
