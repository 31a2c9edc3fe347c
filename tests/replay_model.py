"""What a program must give: the same source, played by plain asyncio on a clock that jumps, without a journal or a
worker.

`ModelSteps` is semantics.md, section 2, in few lines: callbacks run at once, results stay in memory, nothing ever
crashes.
"""

import asyncio
import contextvars
import inspect
import selectors
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

from replay_world import WORLD

from playground.worker.context import Record
from playground.worker.entrypoint import NonRetryableError, WorkflowTimeoutError

ID = "model"
Key = tuple[str, str, int]
Send = tuple[float, str, Any]  # seconds from the beginning, type, payload


class NothingLeft(Exception):
    """The program waits for what can't come."""


class _JumpingSelector(selectors.SelectSelector):
    loop: "JumpingLoop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise NothingLeft
        if timeout > 0:
            self.loop.now = self.loop.next_timer()
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that waits for nothing: its time is that of the next timer."""

    _scheduled: list[Any]  # asyncio's own

    def __init__(self) -> None:
        self.now = 0.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def next_timer(self) -> float:
        return float(self._scheduled[0].when())


class _Namespace:
    """The steps called in the run, or in the callback of one step: counts are of one attempt, results of all."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.tasks: dict[tuple[str, str, int], asyncio.Task[Any]] = {}


_namespace: contextvars.ContextVar[_Namespace] = contextvars.ContextVar("namespace")


class ModelSteps:
    """`step` of the model."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._waiting: dict[str, deque[asyncio.Future[Any]]] = defaultdict(deque)
        self._kept: dict[str, deque[Any]] = defaultdict(deque)
        _namespace.set(_Namespace())

    def do(self, name: Any = None, callback: Any = None, *, config: Any = None, concurrent: bool = False) -> Any:
        if callback is not None:
            takes_ctx = bool(inspect.signature(callback).parameters)
            return self.start(name, callback if takes_ctx else lambda ctx: callback(), config)
        frame = sys._getframe(1)

        def decorate(function: Any) -> "_Decorated":
            title = name if isinstance(name, str) else function.__name__
            wanted = inspect.signature(function).parameters.values()
            parameters = [it.name for it in wanted if it.name != "ctx" and it.default is it.empty]
            known = {it: frame.f_locals[it] for it in parameters if isinstance(frame.f_locals.get(it), _Decorated)}
            by_step = {it.title: it for it in frame.f_locals.values() if isinstance(it, _Decorated)}
            return _Decorated(self, title, function, {it: known.get(it) or by_step[it] for it in parameters}, config)

        return decorate(name) if callable(name) else decorate

    def patched(self, name: str) -> bool:
        """No code is changed here under a run."""
        return True

    def start(self, name: str, call: Callable[[Any], Any], config: Any) -> Any:
        space = _namespace.get()
        space.counts["do", name] += 1
        key = ("do", name, space.counts["do", name])
        return self._answered(space, key, call, config or {})

    async def _answered(self, space: _Namespace, key: Key, call: Callable[[Any], Any], config: Any) -> Any:
        task = space.tasks.get(key)
        if task is None:
            task = space.tasks[key] = asyncio.create_task(self._live(key, call, config))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        ended, value = await asyncio.shield(task)
        if ended:
            return value
        raise value

    async def _live(self, key: tuple[str, str, int], call: Callable[[Any], Any], config: Any) -> tuple[bool, Any]:
        retries = config.get("retries", {"limit": 5, "delay": 10_000})
        timeout = config.get("timeout")
        inside = _Namespace()
        _namespace.set(inside)
        attempt = 0
        while True:
            attempt += 1
            inside.counts.clear()
            ctx = Record(step=Record(name=key[1], count=key[2]), attempt=attempt, config=config)
            late = asyncio.timeout(None if timeout is None or isinstance(timeout, str) else timeout / 1000)
            try:
                async with late:
                    result = call(ctx)
                    if inspect.isawaitable(result):
                        result = await result
            except BaseException as error:
                if isinstance(error, GeneratorExit):
                    raise
                failed: BaseException = error
                if late.expired():
                    failed = WorkflowTimeoutError(f"Execution timed out after {timeout}ms")
            else:
                WORLD.ended(ID, result, key[1])
                return True, result
            WORLD.failed(ID, str(failed), key[1])
            if isinstance(failed, NonRetryableError) or attempt > retries["limit"]:
                WORLD.ended(ID, str(failed), key[1])
                return False, failed
            await asyncio.sleep(retries["delay"] / 1000)

    def sleep(self, name: str, milliseconds: int) -> Any:
        space = _namespace.get()
        space.counts["sleep", name] += 1
        return self._slept(space, ("sleep", name, space.counts["sleep", name]), milliseconds)

    async def _slept(self, space: _Namespace, key: tuple[str, str, int], milliseconds: int) -> None:
        if key not in space.tasks:
            await asyncio.sleep(milliseconds / 1000)
            space.tasks[key] = asyncio.current_task()  # type: ignore[assignment]  # that it is there says it was slept

    async def wait_for_event(self, name: str, event_type: str, /, timeout: int) -> Record:
        if self._kept[event_type]:
            return self._event(event_type, self._kept[event_type].popleft())
        future = asyncio.get_running_loop().create_future()
        self._waiting[event_type].append(future)
        try:
            async with asyncio.timeout(timeout / 1000) as late:
                return self._event(event_type, await future)
        except TimeoutError:
            if late.expired():
                raise WorkflowTimeoutError(f"Execution timed out after {timeout}ms") from None
            raise
        finally:
            if future in self._waiting[event_type]:
                self._waiting[event_type].remove(future)

    def send(self, event_type: str, payload: Any) -> None:
        """An event comes."""
        if self._waiting[event_type]:
            self._waiting[event_type].popleft().set_result(payload)
        else:
            self._kept[event_type].append(payload)

    async def finish(self) -> None:
        """What was started and never awaited comes to its end."""
        while self._open:
            await asyncio.wait(set(self._open), return_when=asyncio.FIRST_COMPLETED)
            for _ in range(4):
                await asyncio.sleep(0)

    def _event(self, event_type: str, payload: Any) -> Record:
        return Record(payload=payload, type=event_type)


class _Decorated:
    """A function made a step: called it runs; as a dependency its last result is used, or awaited."""

    def __init__(
        self, steps: ModelSteps, title: str, function: Any, dependencies: dict[str, "_Decorated"], config: Any
    ) -> None:
        self.title = title
        self._steps, self._function, self._dependencies, self._config = steps, function, dependencies, config
        self._last: asyncio.Task[Any] | None = None

    def __call__(self) -> Any:
        self._last = asyncio.ensure_future(self._run())
        return asyncio.shield(self._last)

    async def _run(self) -> Any:
        given = {name: await (it._last or it()) for name, it in self._dependencies.items()}
        takes_ctx = "ctx" in inspect.signature(self._function).parameters

        def call(ctx: Any) -> Any:
            return self._function(**given, **({"ctx": ctx} if takes_ctx else {}))

        return await self._steps.start(self.title, call, self._config)


def expected(source: str, sends: Iterable[Send]) -> Any:
    """What the program of this source gives when these events are sent. Raises NothingLeft when it never ends."""
    module: dict[str, Any] = {"__name__": "workflow"}
    exec(compile(source, "workflow.py", "exec"), module)  # noqa: S102 - a program of tests/replay_programs.py
    loop = JumpingLoop()

    async def play() -> Any:
        steps = ModelSteps()
        for seconds, event_type, payload in sends:
            loop.call_at(seconds, steps.send, event_type, payload)
        event = Record(payload={}, instanceId=ID)
        output = await module["TenantWorkflow"](None, None).run(event, steps)
        await steps.finish()
        return output

    WORLD.begin(lambda: round(loop.now * 1000))
    try:
        return loop.run_until_complete(play())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
