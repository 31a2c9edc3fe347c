"""Functions decorated with `@step.do(...)`: their dependencies on other steps, and what a call of one runs.

A callback declares what it needs by the names of its parameters: `ctx` is the step context, any other name is a
dependency, the name of a decorated function or of its step. Which one is meant is fixed when the function is decorated,
so that branches that decorate the same names do not see each other's: first one in the decorating scope (its locals,
then the same task), else the last one of that name so far, else one that is decorated later. A dependency's result is
reused; a call runs the step again, with the next count.
"""

import asyncio
import inspect
import types
import weakref
from collections.abc import Awaitable, Callable, Iterable
from types import FrameType
from typing import Any, Protocol

from playground.worker.context import Record

CTX = "ctx"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parameter_names(callback: Callable[..., Any]) -> list[str]:
    """The parameters that may be passed by name, except the step context."""
    return [
        parameter.name for parameter in _parameters(callback) if parameter.kind in _BY_NAME and parameter.name != CTX
    ]


def wanted_parameters(
    callback: Callable[..., Any], known: Callable[[str], bool], positional: int = 0
) -> tuple[list[str], bool]:
    """The dependencies that a decorated callback names, in order, and whether it takes the step context.

    The first `positional` parameters are filled by a legacy `depends` list. A parameter with a default keeps it.

    Raises:
        TypeError: a parameter is neither `ctx` nor a decorated step that is `known`.
    """
    names, takes_ctx = [], False
    for place, parameter in enumerate(_parameters(callback)):
        if parameter.name == CTX and parameter.kind in _BY_NAME and place >= positional:
            takes_ctx = True
        elif place < positional or parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        elif parameter.kind in _BY_NAME and known(parameter.name):
            names.append(parameter.name)
        elif parameter.default is inspect.Parameter.empty:
            raise TypeError(f"Received unexpected parameter {parameter.name}")
    return names, takes_ctx


def taking_context(callback: Callable[..., Any]) -> Callable[[Any], Any]:
    """A callback of the direct form as a function of the step context: passed first, as `ctx=`, or not at all."""
    code = callback.__code__ if type(callback) is types.FunctionType and not hasattr(callback, "__wrapped__") else None
    if code is not None and code.co_argcount == 0 and code.co_kwonlyargcount == 0:
        return lambda ctx: callback()  # the usual case, decided without computing a signature
    parameters = _parameters(callback)
    first = bool(parameters) and parameters[0].kind in _POSITIONAL and _takes_context(parameters[0])
    if any(one.name == CTX and one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters):
        return (lambda ctx: callback(ctx, **{CTX: ctx})) if first else (lambda ctx: callback(**{CTX: ctx}))
    return callback if first else lambda ctx: callback()


def _takes_context(parameter: inspect.Parameter) -> bool:
    return parameter.name == CTX or parameter.default is inspect.Parameter.empty


def _parameters(callback: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(callback).parameters.values())
    except (TypeError, ValueError):  # some builtins have no signature
        return []


class StepStarter(Protocol):
    """What starts steps. `decorated` are the functions decorated so far."""

    decorated: "Decorations"

    def start(
        self,
        name: Any,
        call: Callable[[Record], Any],
        *,
        line: int | None,
        config: Any,
        rollback: Any,
        rollback_config: Any,
    ) -> Awaitable[Any]:
        """Start a step that runs `call`."""


class Decorated:
    """A function decorated with `@step.do(...)`: each call, without arguments, runs the step once more.

    `visible` are the dependencies found when it was decorated, by parameter. `options` are those of `Steps.start`.
    """

    def __init__(
        self,
        steps: StepStarter,
        name: str,
        callback: Any,
        depends: list[Any] | None,
        concurrent: bool,
        options: dict[str, Any],
        visible: dict[str, "Decorated"],
    ) -> None:
        self._steps, self._name, self._callback = steps, name, callback
        self._depends, self._concurrent, self._options, self._visible = depends, concurrent, options, visible
        self._latest: asyncio.Future[Any] | None = None
        self.number = 0  # in the order of decoration
        self.__name__ = getattr(callback, "__name__", name)
        self.__wrapped__ = callback

    @property
    def names(self) -> tuple[str, str]:
        """The names that a parameter may use for it: its function's and its step's."""
        return self.__name__, self._name

    async def __call__(self) -> Any:
        self._latest = asyncio.ensure_future(self._run())
        self._latest.add_done_callback(mark_retrieved)
        return await asyncio.shield(self._latest)

    async def result(self) -> Any:
        """Its result for a step that depends on it: of the last call, finished or not.

        Runs the step where there is none, or only an error.
        """
        latest = self._latest
        if latest is None or (latest.done() and (latest.cancelled() or latest.exception() is not None)):
            return await self()
        return await asyncio.shield(latest)

    async def _run(self) -> Any:
        steps = self._steps
        first = self._depends or []
        wanted, takes_ctx = wanted_parameters(self._callback, self._is_known, len(first))
        dependencies = [*first, *(self._dependency(name) for name in wanted)]
        if self._concurrent:
            results = list(await asyncio.gather(*map(_result_of, dependencies)))
        else:
            results = [await _result_of(dependency) for dependency in dependencies]
        by_name = dict(zip(wanted, results[len(first) :], strict=True))

        def call(ctx: Record) -> Any:
            return self._callback(*results[: len(first)], **by_name, **({CTX: ctx} if takes_ctx else {}))

        line = getattr(getattr(self._callback, "__code__", None), "co_firstlineno", None)
        return await steps.start(self._name, call, line=line, **self._options)

    def _is_known(self, name: str) -> bool:
        return name in self._visible or self._steps.decorated.last(name) is not None

    def _dependency(self, name: str) -> "Decorated":
        found = self._visible.get(name) or self._steps.decorated.last(name)
        assert found is not None, "wanted_parameters returns known names only"
        return found


class Decorations:
    """The decorated functions of one execution, by the names that a parameter may use."""

    def __init__(self) -> None:
        self._made = 0
        self._last: dict[str, Decorated] = {}
        self._of_task: weakref.WeakKeyDictionary[Any, dict[str, Decorated]] = weakref.WeakKeyDictionary()

    def add(self, made: Decorated) -> None:
        """Add one, as the last of its names in this execution and in this task."""
        self._made += 1
        made.number = self._made
        for name in made.names:
            self._last[name] = self._in_task()[name] = made

    def last(self, name: str) -> Decorated | None:
        """The one that was decorated last under a name."""
        return self._last.get(name)

    def visible(self, callback: Any, frame: FrameType | None) -> dict[str, Decorated]:
        """The dependencies of a function that is decorated now in the scope of `frame`, by parameter."""
        found: dict[str, Decorated] = {}
        names = list(parameter_names(callback))
        if not names:
            return found
        local = _by_name(frame.f_locals.values()) if frame is not None and frame.f_locals is not frame.f_globals else {}
        for name in names:
            known = local.get(name) or self._in_task().get(name) or self._last.get(name)
            if known is not None:
                found[name] = known
        return found

    def _in_task(self) -> dict[str, Decorated]:
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop runs
            task = None
        return self._of_task.setdefault(task, {}) if task is not None else self._last


def _by_name(values: Iterable[Any]) -> dict[str, Decorated]:
    """The decorated functions among the locals of a scope; the later one where two share a name."""
    made = sorted((value for value in values if type(value) is Decorated), key=lambda each: each.number)
    return {name: each for each in made for name in each.names}


def _result_of(dependency: Any) -> Awaitable[Any]:
    result: Awaitable[Any] = dependency.result() if type(dependency) is Decorated else dependency()
    return result


def mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Retrieve a future's exception, so that asyncio does not log it as never retrieved."""
    if not future.cancelled():
        future.exception()
