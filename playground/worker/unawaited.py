"""Python's warnings and the errors that nothing awaited, written to the tenant's log.

Warnings appear as in a script, at the tenant's own lines; a forgotten await names what the tenant called. Errors of
tasks, futures, event loop callbacks and steps that nothing awaited are printed with step, line and code.
"""

import asyncio
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from playground.worker import failures
from playground.worker.attempts import Do
from playground.worker.context import Key, label_of, step_of_caller
from playground.worker.decorated_steps import Decorated
from playground.worker.failures import is_tenant_file
from playground.worker.logs import LogStream
from playground.worker.loop import StepTask
from playground.workflows.events import SLEEP

_OURS = str(Path(__file__).parents[1])
_NEVER = "{what} was called{where} and never awaited, so it did not run. Write `await` before it."


class TenantWarnings:
    """Sends warnings of the `warnings` module to the tenant's log.

    `stderr` returns the log of the tenant whose code runs now, or None, when warnings go where they went before.
    `module` is the tenant's module, whose DeprecationWarnings are shown as those of a script.
    """

    def __init__(self, module: str, stderr: Callable[[], LogStream | TextIO | None]) -> None:
        self._module, self._stderr = module, stderr
        self._filter: Any = None
        self._original: tuple[Any, Any] = (None, None)

    def install(self) -> None:
        """Replace the hooks of the `warnings` module."""
        known: Any = warnings  # some of it is not in its types
        self._original = (known.showwarning, known._warn_unawaited_coroutine)
        warnings.filterwarnings("default", category=DeprecationWarning, module=rf"{self._module}\Z")
        self._filter = warnings.filters[0]
        known.showwarning, known._warn_unawaited_coroutine = self._show, self._never_awaited

    def uninstall(self) -> None:
        """Restore the hooks of the `warnings` module."""
        known: Any = warnings
        known.showwarning, known._warn_unawaited_coroutine = self._original
        if self._filter in warnings.filters:
            known.filters.remove(self._filter)
            known._filters_mutated()

    def _show(
        self,
        message: Any,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        stderr = self._stderr()
        if stderr is None:
            self._original[0](message, category, filename, lineno, file, line)
            return
        if filename == _OURS or filename.startswith(f"{_OURS}/"):
            frame = tenant_frame()
            filename, lineno = ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
        if filename:
            text = warnings.formatwarning(message, category, filename, lineno, line)
        else:
            text = f"{category.__name__}: {message}\n"
        if file is None and isinstance(stderr, LogStream):
            stderr.send_line(text.removesuffix("\n"), step_of_caller(), line=lineno if is_tenant_file(filename) else 0)
        else:
            (file or stderr).write(text)

    def _never_awaited(self, coroutine: Any) -> None:
        """Called by the interpreter when it frees a coroutine that was never started."""
        if self._stderr() is None:
            self._original[1](coroutine)
            return
        frame = tenant_frame()
        what, line = _describe_call(coroutine)
        code = coroutine.cr_code
        if what is not None:
            line = line or (frame.f_lineno if frame is not None else 0)
            message = _NEVER.format(what=what, where=f" on line {line}" if line else "")
        else:
            message = f"coroutine '{coroutine.__qualname__}' was never awaited"
            line = (
                frame.f_lineno if frame is not None else code.co_firstlineno if is_tenant_file(code.co_filename) else 0
            )
        filename = (
            frame.f_code.co_filename
            if frame is not None
            else code.co_filename
            if is_tenant_file(code.co_filename)
            else __file__
        )
        registry = frame.f_globals.setdefault("__warningregistry__", {}) if frame is not None else None
        warnings.warn_explicit(message, RuntimeWarning, filename, line or 0, self._module, registry)


def tenant_frame() -> types.FrameType | None:
    """The innermost running frame of tenant code."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and not is_tenant_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _describe_call(coroutine: Any) -> tuple[str | None, int | None]:
    """The tenant's call that made one of our coroutines, and its line if known; None for other coroutines."""
    if not coroutine.cr_code.co_filename.startswith(_OURS):
        return None, None
    scope = coroutine.cr_frame.f_locals if coroutine.cr_frame is not None else {}
    do, key, frame, myself = scope.get("do"), scope.get("key"), scope.get("frame"), scope.get("self")
    if isinstance(do, Do):
        return f'`step.do("{do.key[1]}", …)`', do.line
    if key is not None and frame is not None:
        method = "wait_for_event" if key[0] != SLEEP else "sleep_until" if frame.get("until") is not None else "sleep"
        return f'`step.{method}("{key[1]}", …)`', frame.get("line")
    if isinstance(myself, Decorated):
        return f"The step `{myself.__name__}()`", None
    if "binding" in scope and "method" in scope:
        return f"`self.env.{scope['binding']}.{scope['method']}(…)`", None
    return f"`{coroutine.__name__}`", None


_NEVER_RETRIEVED = "exception was never retrieved"
_DESTROYED = "was destroyed but it is pending"


class BackgroundError(NamedTuple):
    """The text to print, the step it belongs to if any, and the line of tenant code, 0 if unknown."""

    text: str
    step: Key | None
    line: int


def error_of_loop(context: Mapping[str, Any]) -> BackgroundError:
    """The text for what the event loop reports to its exception handler (`loop.call_exception_handler`)."""
    error, message = context.get("exception"), str(context.get("message", "asyncio"))
    task = context.get("task") or context.get("future")
    step = _step_of(task)
    if error is None:
        line = _line_of(task)
        if _DESTROYED in message:
            message = (
                f"Task was destroyed: nothing refers to {_describe_task(task)}, which was dropped while it was running"
            )
        return BackgroundError(message + (f"\n  line {line}, in {_code_of(task).co_name}" if line else ""), step, line)
    failed = _failed_step(error)
    if failed is not None:
        return error_of_step(failed, error)
    if _NEVER_RETRIEVED in message:
        message = f"{message}: {_describe_task(task)} failed and nothing awaited it"
    elif "callback" in message:
        message = "A callback of the event loop failed"  # asyncio's message names files of this server
    return _background_error(message, error, step)


def error_of_step(step: Key, error: BaseException) -> BackgroundError:
    """The text for a step that failed and that nothing awaits."""
    return _background_error(f'Step "{label_of(step)}" failed and nothing awaited it', error, step)


def _background_error(what: str, error: BaseException, step: Key | None) -> BackgroundError:
    shown = failures.describe(error)
    text, line = f"{what}: {shown['name']}: {shown['message']}", shown.get("line") or 0
    if shown.get("traceback"):
        last = shown["traceback"][-1]
        text += f"\n  line {last['line']}, in {last['function']}" + (f": {last['code']}" if last["code"] else "")
    return BackgroundError(text, step, line)


def _step_of(task: Any) -> Key | None:
    return task.step if isinstance(task, StepTask) else None


def _failed_step(error: BaseException) -> Key | None:
    """The step that raised an error, found by the frames of its traceback."""
    place = error.__traceback__
    while place is not None:
        do = None if failures.is_tenant_file(place.tb_frame.f_code.co_filename) else place.tb_frame.f_locals.get("do")
        if isinstance(do, Do):
            return do.key
        place = place.tb_next
    return None


def _describe_task(task: Any) -> str:
    code = _code_of(task)
    return (
        f"the background task {code.co_name}()"
        if code is not None and failures.is_tenant_file(code.co_filename)
        else "a background task"
    )


def _line_of(task: Any) -> int:
    """The line at which a tenant's task waits, or its function's line once it is closed; 0 for other tasks."""
    code, frame = _code_of(task), getattr(_coroutine_of(task), "cr_frame", None)
    if code is None or not failures.is_tenant_file(code.co_filename):
        return 0
    return int(code.co_firstlineno if frame is None else frame.f_lineno)


def _code_of(task: Any) -> Any:
    return getattr(_coroutine_of(task), "cr_code", None)


def _coroutine_of(task: Any) -> Any:
    return task.get_coro() if isinstance(task, asyncio.Task) else None
