"""`WorkflowTester`: creates instances on a server of its own, mocks steps, plans crashes and moves time."""

import asyncio
import dataclasses
import difflib
import inspect
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from playground.engine.bindings.fetch import FETCH
from playground.engine.bindings.mcp import DEFAULT_SERVER
from playground.engine.bindings.queues import bindings_of
from playground.engine.code.sources import DEFAULT_BINDINGS
from playground.engine.creation import CreateInstance
from playground.engine.cron import SKIP
from playground.engine.engine import Engine
from playground.engine.execution.breakpoints import StepPattern
from playground.engine.message_queues import OWN_QUEUE
from playground.engine.schedules import Firing
from playground.engine.workflow_schedules import params_of_schedule, under_firing
from playground.settings import Settings
from playground.store.messages import QueueSettings
from playground.store.protocol import Committed, Store
from playground.store.schedules import Schedule
from playground.store.sqlite.migrations import empty_database
from playground.testing import crashes, mocks
from playground.testing.clock import VirtualClock
from playground.testing.crashes import Crash, CrashPlan
from playground.testing.fetches import Fetches
from playground.testing.run import NothingHappens, Run
from playground.testing.sandbox import LocalSandbox, Routing
from playground.testing.server import ALONE, LocalServer, Nodes
from playground.testing.services import MockedModels, MockedTools
from playground.workflows import durations, names
from playground.workflows import events as ev
from playground.workflows.flow import FIELDS, checked_flow, checked_limits
from playground.workflows.names import CLASS_NAME, handler_class

T = TypeVar("T")

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z, the default start of virtual time
TURNS = 6  # of the event loop without activity, after which everything counts as at rest
POLL_SECONDS = 0.02  # how long to wait for activity before the next check
LOSSES_ON_PURPOSE = 1_000_000  # workers an attempt may lose in a row where a test kills them all the time
EVENTS_SHOWN = 12  # last events in the message when something does not happen

# Changed defaults: a class's source is its whole file, and a step has only its own timeout.
SETTINGS = {
    "drain_seconds": 0,
    "workers": 8,
    "source_bytes": 16 * 1024 * 1024,
    "attempt_wall_seconds": 365 * 86_400,
    "synchronous": "normal",
}

_routing = Routing()


@contextmanager
def _sqlite_database() -> Iterator[str]:
    """The URL of a database in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="workflow-test-") as folder:
        (Path(folder) / "test.db").write_bytes(empty_database())
        yield f"sqlite:///{folder}/test.db"


SCHEDULED = "playground"  # the workflow of what a tester starts


class AnyQueue:
    """Queues of a test: there is each that is named, and none is ever delivered."""

    async def queue(self, tenant: str, name: str) -> QueueSettings:
        """See `message_queues.SendsTo`."""
        return QueueSettings(names.check_name(name, "queue"))

    async def own_queue(self, owner: str) -> QueueSettings:
        """See `message_queues.SendsTo`."""
        return OWN_QUEUE

    async def count(self, tenant: str) -> int:
        """See `message_queues.SendsTo`."""
        return 0


class WorkflowTester:
    """Runs a workflow on a virtual clock, with crashes where the test wants them. Use it with `async with`.

    Args:
        workflow: the source of a module, as of a tenant, or a class that extends `WorkflowEntrypoint`, which runs with
            the globals of its module.
        class_name: the class in the source.
        skip: whether a wait of the test moves time to the next deadline once everything is at rest. Without it only
            `advance` moves time.
        begin: epoch milliseconds at which the clock starts.
        env: the bindings in `self.env`: a `Binding` or a plain value, by name. Without it those that all code has;
            messages stay where they are sent to (`Run.sent`), `fetches` answers what is asked with `fetch`, and
            `mock_model` and `mock_tool` answer models and tools.
        on_commit: called with each commit (`playground.store.protocol.Committed`) when it is durable, before anybody is
            notified.
        sandbox: real workers instead of threads (a `playground.sandbox.pool.Sandbox`, which the caller closes). Mocks,
            and skipping a callback's own `asyncio.sleep`, need threads.
        allow_divergence: whether a replay may diverge from the execution before it; otherwise `Run.result`, or at the
            latest the end of the test, raises ReplayDiverged.
        replay_each_commit: kill the worker after every commit with progress, so that the code is replayed from every
            point of its journal: code that depends on more than the results of its steps behaves differently then.
        settings: rows of `playground.settings.Settings` to change.
    """

    # The servers of a test, and a context of its database's URL; this project's own tests run with others too.
    nodes: ClassVar[Nodes] = ALONE
    database: ClassVar[Callable[[], AbstractContextManager[str]]] = staticmethod(_sqlite_database)

    def __init__(
        self,
        workflow: str | type,
        *,
        class_name: str = CLASS_NAME,
        skip: bool = True,
        begin: int = START,
        env: Mapping[str, Any] | None = None,
        on_commit: Callable[[Committed], None] = lambda committed: None,
        sandbox: Any = None,
        replay_each_commit: bool = False,
        allow_divergence: bool = False,
        **settings: Any,
    ) -> None:
        if not isinstance(workflow, (str, type)):
            raise TypeError(
                f"WorkflowTester takes the source of a workflow or its class, not {type(workflow).__name__}"
            )
        self._class = None if isinstance(workflow, str) else workflow
        self.source = workflow if isinstance(workflow, str) else inspect.getsource(sys.modules[workflow.__module__])
        self._class_name = class_name if self._class is None else self._class.__name__
        self.skip = skip
        self.clock = VirtualClock(begin)
        self.log: list[tuple[str, dict[str, Any]]] = []
        tolerant = {"worker_losses": LOSSES_ON_PURPOSE} if replay_each_commit else {}
        _check_settings(settings)
        self._settings = Settings(**{**SETTINGS, **tolerant, **settings})
        self.allow_divergence = allow_divergence
        self._mocks, self._crash_plan = mocks.Mocks(), CrashPlan(each=replay_each_commit)
        self._wait_mocks: dict[str, mocks.Mock] = {}
        self._real_sandbox, self.on_commit = sandbox, on_commit
        self.fetches = Fetches()
        self._models, self._tools = MockedModels(), MockedTools(DEFAULT_SERVER)
        services = {FETCH: self.fetches, "AI": self._models, "MCP": self._tools}
        self._env = {**DEFAULT_BINDINGS, **bindings_of(AnyQueue(), ""), **services} if env is None else env
        self._runs: list[Run] = []
        self._breakpoints: list[StepPattern] = []
        self._opened = AsyncExitStack()

    def mock_model(self, model: str, *answers: Any) -> None:
        """Give a model of `env.AI` answers, the last of which stays: a text, `{"text", "tool_calls"}`, an error, or a
        function of the inputs.
        """
        self._models.add(model, answers)

    def mock_tool(self, tool: str, *answers: Any, server: str = DEFAULT_SERVER) -> None:
        """Give a tool of `env.MCP` answers, the last of which stays: a text, a dict as structured content, an error, or
        a function of the arguments.
        """
        self._tools.add(tool, server, answers)

    async def __aenter__(self) -> Self:
        self._activity = asyncio.Event()
        url = self._opened.enter_context(type(self).database())
        _routing.start()
        self._opened.callback(_routing.stop)
        self._local = None
        if self._real_sandbox is None:
            self._local = LocalSandbox(self.clock, self._mocks, self._class, self._activity.set)
            self._opened.push_async_callback(self._local.close)
        self._server = LocalServer(
            url,
            self._settings,
            self.clock,
            self._local or self._real_sandbox,
            self._crash_plan,
            env=self._env,
            durable=lambda committed: self.on_commit(committed),
            changed=self._activity.set,
            log=lambda event, **fields: self.log.append((event, fields)),
            nodes=self.nodes,
            on_create=self._mocks.create,
            opened=lambda engine: engine.schedules.register(SCHEDULED, partial(self._start_scheduled, engine)),
        )
        await self._server.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._crash_plan.clear()
        try:
            if kind is None:
                await self._check_runs()
        finally:
            await self._server.close(kill=self._server.dead)
            await self._opened.aclose()

    async def _check_runs(self) -> None:
        """Raises ReplayDiverged or UnusedMock at the end of a test that passed."""
        for run in self._runs if not self.allow_divergence else ():
            await run.check_divergence()
        self.fetches.check_used()
        unused = self._mocks.unused()
        waits: set[str] = set()
        for run in self._runs if self._wait_mocks else ():
            waits |= {key.name for key in (await run.state()).steps if key.kind == ev.WAIT}
        for mock in self._wait_mocks.values():
            if not mock.used and not mock.optional:
                early = "it had an event before it could be let time out."
                why = early if mock.name in waits else mocks.name_hint(mock.name, waits, "wait")
                unused.append(f"{mock} was never used: {why}")
        if unused:
            raise mocks.UnusedMock(" ".join(unused) + " Say optional=True where that is meant.")

    # The server.

    @property
    def engine(self) -> Engine:
        """The current engine; a new one after a crash."""
        return self._server.engine

    @property
    def store(self) -> Store:
        """The store itself, without planned crashes."""
        return self._server.store

    @property
    def commits(self) -> int:
        """How many commits have been made so far."""
        return self._crash_plan.commits

    async def restart_server(self, *, kill: bool = True, down: Any = 0) -> None:
        """Stop the server and start it again on the same store.

        Args:
            kill: by kill -9, otherwise as an operator does.
            down: how long there is no server, as a duration.
        """
        await self._server.close(kill=kill)
        self.clock.advance(durations.parse(down))
        await self._server.open()

    async def _revive(self) -> None:
        if self._server.dead:
            await self._server.revive()

    async def call(self, operation: Callable[[Engine], Awaitable[T]]) -> T:
        """Carry out an operation on the server. Raises ServerCrashed when a planned crash happens during it."""
        await self._revive()
        return await self._server.call(operation)

    # Instances, mocks and crashes.

    async def create(self, params: Any = None, **given: Any) -> Run:
        """Create an instance.

        `given` are further fields of `playground.engine.CreateInstance`, and `key`, `delay`, `priority`, `singleton`
        and `debounce` as of a workflow's `create`, whose limits per key are among `limits`. Raises as `Engine.create`.
        """
        asked = {name: given.pop(name) for name in (FIELDS - {"limits"}) & given.keys()}
        if asked:
            given["flow"] = checked_flow(**asked, of_workflow=checked_limits(given.get("limits") or {}))
        fields: dict[str, Any] = {"source": self.source, "params": params, "class_name": self._class_name}
        new = CreateInstance(**{**fields, "breakpoints": tuple(self._breakpoints), **given})
        row = await self.call(lambda engine: engine.create(new))
        self._runs.append(Run(self, row))
        return self._runs[-1]

    async def deliver(self, *bodies: Any, queue: str = "default", attempts: int = 1) -> Run:
        """Have the source's handler handle a batch of messages with these bodies, and of the ids "1", "2" and so on.

        `Run.result` says how many it has acknowledged, `Run.marks` which. Whatever comes again is up to the test: there
        is no queue here.

        Args:
            attempts: the deliveries so far, from 1.
        """
        sent_at = self.clock.now()
        messages = [
            {"id": str(number), "timestamp": sent_at, "attempts": attempts, "content_type": "v8", "body": body}
            for number, body in enumerate(bodies, 1)
        ]
        batch = {"queue": queue, "messages": messages}
        return await self.create(
            batch, class_name=handler_class(self._class_name), trigger={"kind": "queue", "queue": queue}
        )

    async def schedule(
        self, name: str, cron: str, *, timezone: str = "UTC", params: Any = None, missed: str = SKIP
    ) -> Schedule:
        """Have the workflow started by the clock from now on: each firing adds to `runs`, once time has come there.

        Args:
            cron: minute, hour, day, month and weekday.
            missed: what is done about firings while no server ran: `skip`, `once` or `all`.

        Raises:
            InvalidSchedule: it makes no sense.
        """

        async def put(engine: Engine) -> Schedule:
            schedule, _ = await engine.schedules.put("", name, SCHEDULED, cron, timezone, params, missed)
            return schedule

        return await self.call(put)

    async def _start_scheduled(self, engine: Engine, schedule: Schedule, firing: Firing) -> str:
        new = CreateInstance(
            self.source,
            params=params_of_schedule(schedule),
            class_name=self._class_name,
            breakpoints=tuple(self._breakpoints),
        )
        row = await engine.create(under_firing(new, firing))
        self._runs.append(Run(self, row))
        return row.id

    def break_before(self, name: str, *, count: int | None = None, kind: str | None = None) -> None:
        """Have every run that is created from now on stop before a step: this call of it, or every call of its name.

        `Run.wait_for_stop` waits for it, `Run.next_commit`, `run_to`, `give` and `resume` go on.
        """
        self._breakpoints.append(StepPattern(name, kind, count))

    @property
    def runs(self) -> list[Run]:
        """Every instance that was created here, oldest first."""
        return list(self._runs)

    def mock_step(
        self,
        name: str,
        *,
        result: Any = None,
        error: BaseException | type[BaseException] | None = None,
        count: int | None = None,
        times: int | None = None,
        optional: bool = False,
    ) -> None:
        """Replace a step's callback by a result or an error.

        Args:
            optional: whether it may stay unused; otherwise that fails the test at its end.
            count: only the step of this count; None: every step of the name.
            times: for so many attempts, then the callback runs (or what is mocked next); None: always.

        Raises:
            TypeError, ValueError: the arguments can match no step.
        """
        self._mock(mocks.MOCK_STEP, name, result, error, count, times, optional)

    def mock_child(
        self,
        name: str = "child",
        *,
        result: Any = None,
        error: BaseException | type[BaseException] | None = None,
        count: int | None = None,
        times: int | None = None,
        optional: bool = False,
    ) -> None:
        """Replace children that `self.env.WORKFLOWS.run` starts by an output or an error; none of their code runs.

        Args:
            name: of the step, as the journal has it: the argument `name`, else the `id`, else "child".

        See `mock_step` for the others and what it raises.
        """
        self._mock(mocks.MOCK_CHILD, name, result, error, count, times, optional)

    def _mock(
        self,
        kind: str,
        name: str,
        result: Any,
        error: BaseException | type[BaseException] | None,
        count: int | None,
        times: int | None,
        optional: bool,
    ) -> None:
        self._threads_only(kind)
        mocks.check_arguments(kind, name, count, times)
        if error is not None:
            mocks.check_error(kind, error, result)
        play = mocks.returning(result) if error is None else mocks.raising(error)
        self._mocks.add(mocks.Mock(name, count, times, play, kind, optional))

    def time_out_step(
        self, name: str, *, count: int | None = None, times: int | None = 1, optional: bool = False
    ) -> None:
        """Let so many attempts of a step hang until their timeout ends them; time jumps there. See `mock_step`."""
        self._threads_only(mocks.TIME_OUT_STEP)
        mocks.check_arguments(mocks.TIME_OUT_STEP, name, count, times)
        self._mocks.add(mocks.Mock(name, count, times, mocks.hanging(), mocks.TIME_OUT_STEP, optional))

    def time_out_wait(self, name: str, *, times: int | None = 1, optional: bool = False) -> None:
        """Let so many waits for an event of this name time out as soon as everything is at rest, before time passes.

        See `mock_step` for `optional` and what it raises.
        """
        mocks.check_arguments(mocks.TIME_OUT_WAIT, name, None, times)
        self._wait_mocks[name] = mocks.Mock(name, None, times, mocks.hanging(), mocks.TIME_OUT_WAIT, optional)

    def crash(self, victim: str = crashes.SERVER, *, commit: int, moment: str = crashes.BEFORE) -> None:
        """Kill a worker or the server at a commit.

        Args:
            victim: `worker` (of the instance whose commit it is) or `server` (the engine and all workers; it is started
                again on the same store as soon as the test waits for something).
            commit: its number in this test, from 1; see `commits`. A commit adds events to a journal, or claims an
                instance.
            moment: `before` it is durable, or `after`, when nobody has been notified yet.
        """
        if not isinstance(commit, int) or isinstance(commit, bool):
            raise TypeError(f"crash takes the number of a commit, from 1, not {type(commit).__name__}: {commit!r:.100}")
        if victim not in crashes.VICTIMS or moment not in crashes.MOMENTS:
            raise ValueError(f"crash takes {' or '.join(crashes.VICTIMS)}, {' or '.join(crashes.MOMENTS)}")
        self._crash_plan.add(Crash(victim, commit, moment))

    @property
    def crashes_left(self) -> int:
        """How many planned crashes have not happened."""
        return self._crash_plan.left

    def no_more_crashes(self) -> None:
        """Forget the planned crashes that have not happened."""
        self._crash_plan.clear()

    # Time.

    def now(self) -> int:
        """Virtual epoch milliseconds."""
        return self.clock.now()

    async def advance(self, duration: Any) -> None:
        """Let time pass: a duration such as `"2 hours"` or milliseconds. Timers on the way fire at their own time."""
        target = self.now() + durations.parse(duration)
        while True:
            await self.settle()
            due = self._next_due()
            if due is None or due > target:
                break
            self._move_to(due)
        self._move_to(target)
        await self.settle()

    async def settle(self, *, deadline: float = 30.0) -> None:
        """Wait, without moving time, until everything is at rest."""

        async def never() -> None:
            return None

        await self.drive(never, "rest", deadline, None)

    async def drive(self, look: Callable[[], Awaitable[Any]], what: str, deadline: float, run: Run | None) -> Any:
        """Wait until `look` returns something, and skip time if this tester does; without a `run`, wait until
        everything is at rest.
        """
        try:
            async with asyncio.timeout(deadline):
                while True:
                    self._activity.clear()
                    await self._revive()
                    found = await look()
                    if found is not None:
                        return found
                    if not await self._rests():
                        await self._wait_for_activity()
                    elif (found := await look()) is not None or run is None:
                        return found
                    elif await self._time_out_wait() or self._skip_time():
                        pass
                    else:
                        raise NothingHappens(f"{what} can't come: everything rests. {await self._description(run)}")
        except TimeoutError:
            raise TimeoutError(f"{what} did not come within {deadline:g} s. {await self._description(run)}") from None

    async def _rests(self) -> bool:
        for _ in range(TURNS):
            await asyncio.sleep(0)
            if not self._server.at_rest:
                return False
            if not all(self._worker_rests(execution) for execution in self._server.executions()):
                return False
        return True

    def _worker_rests(self, execution: Any) -> bool:
        if self._local is None:
            return bool(execution.idle and not execution.is_busy)
        return bool(execution.worker.at_rest())

    async def _wait_for_activity(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._activity.wait()
        except TimeoutError:
            pass

    def _next_due(self) -> int | None:
        due = [self.clock.next_awaited(), self._local.due() if self._local is not None else None]
        return min((when for when in due if when is not None), default=None)

    def _skip_time(self) -> bool:
        due = self._next_due() if self.skip else None
        if due is None:
            return False
        self._move_to(due)
        return True

    def _move_to(self, when: int) -> None:
        self.clock.advance(max(0, when - self.now()))
        if self._local is not None:
            self._local.move()

    async def _time_out_wait(self) -> bool:
        for run in self._runs if self._wait_mocks else ():
            for step in (await run.state()).steps.values():
                mock = self._wait_mocks.get(step.key.name)
                if mock is not None and step.key.kind == ev.WAIT and step.status == "waiting" and mock.times != 0:
                    mock.used = True
                    mock.times = None if mock.times is None else mock.times - 1
                    await run.wake(step.key.name, count=step.key.count, kind=ev.WAIT)
                    return True
        return False

    async def _description(self, run: Run | None) -> str:
        if run is None:
            return "Something goes on all the time, or takes real time."
        state = await run.state()
        last = "\n".join(
            f"  {event.seq} {event.type} {event.step or ''} {event.data}"[:300]
            for event in (await run.journal())[-EVENTS_SHOWN:]
        )
        error = state.error and state.error["message"]
        return f"Status {state.status}, error {error}; the last of its journal:\n{last}\n{self.log[-3:]}"

    def _threads_only(self, what: str) -> None:
        if self._real_sandbox is not None:
            raise ValueError(f"{what} needs workers in this process; this test has real ones")


def _check_settings(given: Mapping[str, Any]) -> None:
    known = {row.name for row in dataclasses.fields(Settings)}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; is {close[0]} meant?" if close else ""
            raise TypeError(f"WorkflowTester has no argument {name}, and there is no setting of this name{hint}")
