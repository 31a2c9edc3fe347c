"""What a server and a program that embeds the engine open alike: the database and the workers, as the settings say."""

from playground.log_lines import Log
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store import open_store
from playground.store.protocol import Store


def store_of(settings: Settings, log: Log) -> Store:
    """See `open_store`, which blocks."""
    slow_seconds = settings.slow_commit_ms / 1000
    return open_store(settings.database, synchronous=settings.synchronous, log=log, slow_seconds=slow_seconds)


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
