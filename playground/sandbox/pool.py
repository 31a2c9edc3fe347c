"""The pool of pre-forked, locked workers, and the supervisor that restarts and recycles its fork server.

`Sandbox` is what the rest of the playground uses.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from playground.packages.installation import Package, PackageSet
from playground.sandbox import launch as launching
from playground.sandbox import probe, tiers
from playground.sandbox.forkserver import ForkFailed, ForkServer, LaunchFailed, Log
from playground.sandbox.handle import Exit, Worker
from playground.sandbox.launch import ENTRY, Launch, LaunchOptions
from playground.sandbox.layers.cgroup import MemoryGroup
from playground.sandbox.tiers import SandboxDown, SandboxRefused, Tier

__all__ = ["Exit", "LaunchOptions", "Sandbox", "SandboxDown", "SandboxRefused", "Tier", "Worker"]


class SandboxMetrics:
    """Counters since the sandbox was opened.

    `starts` counts the workers taken, `ends` those that have exited, by the cause in `Exit`; `zygotes` the fork servers
    that took over, by reason: START, DIED or RECYCLED; `fork_failures` the failed forks.
    """

    START, DIED, RECYCLED = "start", "died", "recycled"

    def __init__(self) -> None:
        self.starts = self.fork_failures = 0
        self.ends: Counter[str] = Counter()
        self.zygotes: Counter[str] = Counter()


FORKS_AT_ONCE = 4
FAILURES_TO_GIVE_UP = 3  # failed forks in a row, after which waiting callers get an error
BACKOFF_SECONDS = (0.0, 0.05, 0.2, 1.0, 5.0)  # between failing starts of a fork server, or failing forks


class Sandbox:
    """A pool of locked workers. `tier` is how well they are isolated."""

    keeps_workers = True  # a worker of it may be used again (kept.py)

    def __init__(
        self, launch: Launch, tier: Tier, *, parked: int, group: MemoryGroup | None, options: LaunchOptions, log: Log
    ) -> None:
        self.tier = tier
        self.metrics = SandboxMetrics()
        self.packages: tuple[Package, ...] = launch.packages.packages if launch.packages else ()
        # The public names of each module of theirs that is imported before a fork, and why others are not.
        self.module_names: Mapping[str, Sequence[str]] = {}
        self.not_preloaded: Mapping[str, str] = {}
        self._launch = launch
        self._size = parked
        self._group = group
        self._options = options
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._parked: deque[Worker] = deque()
        self._waiting: deque[asyncio.Future[Worker]] = deque()
        self._in_flight = 0
        self._failures = 0
        self._backoff_timer: asyncio.TimerHandle | None = None
        self._server: ForkServer | None = None
        self._recycling: dict[asyncio.Task[None], ForkServer] = {}
        self._generation = 0
        self._recycle_due = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        *,
        memory_bytes: int,
        cpu_seconds: int,
        parked: int,
        allow_weak: bool = False,
        unsafe: bool = False,
        loopback: bool = True,
        packages: PackageSet | None = None,
        preload: bool = True,
        log: Log,
        options: LaunchOptions | None = None,
    ) -> "Sandbox":
        """Start the fork server in the best isolation that this machine supports, and park `parked` workers.

        Args:
            memory_bytes: the address space of a worker.
            cpu_seconds: the processor time of a worker's whole life.
            packages: what code may import in addition to the standard library.
            preload: whether they are imported in the fork server, where that is safe.
            log: called as `log(event, **fields)` for each thing an operator must know.

        Raises:
            SandboxRefused: the isolation is too weak to serve, or the probe got through; the message says what to do.
        """
        options = options or LaunchOptions()
        launch = launching.strongest_launch(memory_bytes, cpu_seconds, options, packages, preload=preload)
        group = _memory_group(options, log)
        missing = ""
        if launch.bwrap is None:
            missing = tiers.NOT_INSTALLED
            launch = launching.without_namespaces(launch, options, missing)
        while True:
            server = ForkServer(launch, "w1", group=group, log=log)
            try:
                await server.start()
                break
            except LaunchFailed as error:
                if launch.bwrap is None or error.has_run:
                    raise SandboxRefused(f"The fork server does not start: {error}. {tiers.NEEDS}") from None
                launch = launching.launch_without_layer(launch, options, str(error))
                if launch.bwrap is None:
                    missing = f"{tiers.CANNOT}: {error}"
                log("sandbox.no_namespaces" if missing else "sandbox.no_network_namespace", reason=str(error))
        try:
            tier = tiers.tier_of(launching.layer_names(launch, memory_group=group is not None), missing)
            tiers.require_allowed(tier, allow_weak=allow_weak, unsafe=unsafe, loopback=loopback)
            sandbox = cls(launch, tier, parked=parked, group=group, options=options, log=log)
            first = await server.fork()
            if options.entry == ENTRY:
                probe.require_blocked(tier, await probe.run_attacks(first))
                if packages is not None:
                    await probe.require_packages(await server.fork(), packages.modules)
                first = await server.fork()
        except ForkFailed as error:
            await server.close()
            raise SandboxRefused(f"A worker cannot be locked: {error}. {tiers.NEEDS}") from None
        except BaseException:
            await server.close()
            raise
        sandbox._start(server, first)
        log("sandbox.tier", tier=tier.letter, sentence=tier.sentence, layers=", ".join(tier.layers), advice=tier.advice)
        return sandbox

    async def failing_imports(self) -> dict[str, str]:
        """The modules of the packages that a worker cannot import, with the error. Raises SandboxDown."""
        modules = [module for package in self.packages for module in package.modules if not module.startswith("_")]
        tried = {module: await probe.try_import(await self.take_worker(), module) for module in modules}
        return {module: error for module, error in tried.items() if error}

    @property
    def parked(self) -> int:
        """The number of workers that are ready now."""
        return len(self._parked)

    @property
    def zygote(self) -> int | None:
        """The host's pid of the fork server, or None while there is none."""
        server = self._server
        return None if server is None or server.dead.done() else server.pid

    async def take_worker(self) -> Worker:
        """Take a fresh, locked worker; the caller closes it.

        Raises:
            SandboxDown: none within 10 s, because the fork server does not restart or forks fail.
        """
        if self._closed:
            raise SandboxDown("The sandbox is closed.")
        while self._parked:
            worker = self._parked.popleft()
            if worker.alive():
                self._loop.call_soon(self._fill)
                return self._count_start(worker)
            worker.close()
        waiter: asyncio.Future[Worker] = self._loop.create_future()
        self._waiting.append(waiter)
        self._fill()
        try:
            async with asyncio.timeout(self._options.take_seconds):
                return self._count_start(await self._wait_for_worker(waiter))
        except TimeoutError:
            if self._server is not None and self._in_flight:
                self._server.kill()  # it does not answer fork requests; the supervisor replaces it
            raise SandboxDown(f"No worker could be started within {self._options.take_seconds:.0f} s.") from None

    def _count_start(self, worker: Worker) -> Worker:
        self.metrics.starts += 1
        worker.exited.add_done_callback(self._count_end)
        return worker

    def _count_end(self, exited: "asyncio.Future[Exit]") -> None:
        if not exited.cancelled():
            self.metrics.ends[exited.result().cause] += 1

    async def close(self) -> None:
        """Kill every worker and the fork server, and wait until all have exited."""
        if self._closed:
            return
        self._closed = True
        if self._backoff_timer is not None:
            self._backoff_timer.cancel()
        tasks = [task for task in (self._supervisor, *self._recycling) if task is not None]
        for task in tasks:
            task.cancel()
        servers = list(self._recycling.values())
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in servers:  # a task that is cancelled before it has started has closed nothing
            await server.close()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(SandboxDown("The sandbox is closed."))
        self._waiting.clear()
        for worker in self._parked:
            worker.close()
        self._parked.clear()
        if self._server is not None:
            await self._server.close()
        if self._group is not None:
            self._group.close()

    async def _wait_for_worker(self, waiter: "asyncio.Future[Worker]") -> Worker:
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._park(waiter.result())  # it came just as the caller was cancelled, and is unused
            raise

    def _start(self, server: ForkServer, first: Worker) -> None:
        self._generation = 1
        self.metrics.zygotes[SandboxMetrics.START] += 1
        self._server = server
        self.module_names = {
            module: [name for name in names if name.isidentifier()] for module, names in server.module_names.items()
        }
        self.not_preloaded = server.not_preloaded
        for module, reason in server.not_preloaded.items():
            self._log("sandbox.package_not_preloaded", module=module, reason=reason)
        self._park(first)
        self._supervisor = asyncio.create_task(self._supervise(), name="sandbox keeper")
        self._fill()

    def _fill(self) -> None:
        """Request children until there are enough, a few at once."""
        server = self._server
        if self._closed or server is None or server.dead.done() or self._backoff_timer is not None:
            return
        self._waiting = deque(waiter for waiter in self._waiting if not waiter.done())
        while self._in_flight < FORKS_AT_ONCE and len(self._parked) + self._in_flight < self._size + len(self._waiting):
            self._in_flight += 1
            server.fork().add_done_callback(partial(self._on_forked, server))
        if server.forks >= self._options.recycle_forks:
            self._recycle_due.set()

    def _on_forked(self, server: ForkServer, ready: "asyncio.Future[Worker]") -> None:
        assert self._in_flight > 0, "a fork that ends was requested"
        self._in_flight -= 1
        error = ready.exception()
        if error is None:
            self._failures = 0
            if self._closed or server is not self._server:
                ready.result().close()
            else:
                self._park(ready.result())
        elif server is self._server and not server.dead.done() and not self._closed and self._backoff_timer is None:
            self.metrics.fork_failures += 1
            self._failures += 1  # concurrent failures count once
            self._log("sandbox.fork_failed", reason=str(error), failures=self._failures)
            if self._failures >= FAILURES_TO_GIVE_UP:
                for waiter in self._waiting:
                    if not waiter.done():
                        waiter.set_exception(SandboxDown(f"A worker could not be started: {error}"))
            self._backoff_timer = self._loop.call_later(_backoff(self._failures), self._retry_fill)
        self._fill()

    def _retry_fill(self) -> None:
        self._backoff_timer = None
        self._fill()

    def _park(self, worker: Worker) -> None:
        if not worker.alive():  # it died between sending LOCKED and our reading it
            worker.close()
            self._fill()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(worker)
                return
        self._parked.append(worker)
        worker.exited.add_done_callback(lambda _: self._unpark(worker))

    def _unpark(self, worker: Worker) -> None:
        if worker in self._parked:
            self._parked.remove(worker)
            worker.close()
            self._fill()

    async def _supervise(self) -> None:
        """Replace the fork server when it dies, or when it is due to be recycled."""
        while True:
            server = self._server
            assert server is not None, "a supervisor always has a fork server"
            self._recycle_due.clear()
            recycle_due = asyncio.create_task(self._recycle_due.wait())
            try:
                await asyncio.wait(
                    (server.dead, recycle_due),
                    timeout=self._options.recycle_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                recycle_due.cancel()
            if server.dead.done():
                self._log(
                    "sandbox.zygote_died", zygote=server.name, reason=server.dead.result(), workers=len(server.workers)
                )
                self._server = None
                self._recycle(server)
                await self._replace()
                self.metrics.zygotes[SandboxMetrics.DIED] += 1
            else:
                await self._replace()
                self.metrics.zygotes[SandboxMetrics.RECYCLED] += 1
                self._log(
                    "sandbox.zygote_recycled", zygote=server.name, forks=server.forks, workers=len(server.workers)
                )
                self._recycle(server)

    async def _replace(self) -> None:
        """Start another fork server, retrying with backoff, and fill its pool before it takes over."""
        failures = 0
        while True:
            self._generation += 1
            server = ForkServer(self._launch, f"w{self._generation}", group=self._group, log=self._log)
            try:
                warmed = await self._warm(server)
                break
            except (LaunchFailed, ForkFailed) as error:
                failures += 1
                self._log("sandbox.zygote_failed", zygote=server.name, reason=str(error), failures=failures)
                await asyncio.sleep(_backoff(failures))
        outdated = list(self._parked)
        self._parked.clear()
        self._server = server
        for worker in outdated:
            worker.close()
        for worker in warmed:
            self._park(worker)
        self._fill()

    async def _warm(self, server: ForkServer) -> list[Worker]:
        await server.start()
        forks = [server.fork() for _ in range(self._size)]
        try:
            return await asyncio.gather(*forks)
        except BaseException:
            await server.close()
            for fork in forks:  # forked before it died, and unused
                if not fork.cancelled() and fork.exception() is None:
                    fork.result().close()
            raise

    def _recycle(self, server: ForkServer) -> None:
        for worker in server.workers.values():
            worker.is_outdated = True
        task = asyncio.create_task(_close_when_unused(server), name=f"fork server {server.name} is recycled")
        self._recycling[task] = server
        task.add_done_callback(self._recycling.pop)


async def _close_when_unused(server: ForkServer) -> None:
    """Close a replaced fork server once none of its workers is in use."""
    try:
        while server.workers and not server.dead.done():
            ends: list[asyncio.Future[Any]] = [server.dead, *(worker.exited for worker in server.workers.values())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await asyncio.shield(server.close())


def _backoff(failures: int) -> float:
    return BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]


def _memory_group(options: LaunchOptions, log: Log) -> MemoryGroup | None:
    try:
        return MemoryGroup.open(options.group_bytes)
    except OSError as error:
        log("sandbox.no_memory_group", reason=str(error))
        return None
