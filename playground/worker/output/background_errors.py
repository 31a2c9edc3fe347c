"""What went wrong where nobody awaited it: errors of tasks, futures, callbacks and steps, with step, line and code."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from playground.worker import failures
from playground.worker.attempts import Do
from playground.worker.context import Key, label_of
from playground.worker.loop import StepTask

_NEVER_RETRIEVED = "exception was never retrieved"
_DESTROYED = "was destroyed but it is pending"


class Trouble(NamedTuple):
    """What is said, the step it belongs to if any, and the line of the tenant's code, 0 if it is not known."""

    text: str
    step: Key | None
    line: int


def of_loop(context: Mapping[str, Any]) -> Trouble:
    """What an event loop calls its exception handler for (`loop.call_exception_handler`), in the tenant's terms."""
    error, message = context.get("exception"), str(context.get("message", "asyncio"))
    task = context.get("task") or context.get("future")
    step = _step_of(task)
    if error is None:
        line = _line_of(task)
        if _DESTROYED in message:
            message = f"Task was destroyed: nothing refers to {_called(task)}, which was dropped while it was running"
        return Trouble(message + (f"\n  line {line}, in {_code_of(task).co_name}" if line else ""), step, line)
    failed = _failed_step(error)
    if failed is not None:
        return of_step(failed, error)
    if _NEVER_RETRIEVED in message:
        message = f"{message}: {_called(task)} failed and nothing awaited it"
    elif "callback" in message:
        message = "A callback of the event loop failed"  # theirs tells files of this server
    return _said(message, error, step)


def of_step(step: Key, error: BaseException) -> Trouble:
    """What is said of a step that failed though nothing awaits it."""
    return _said(f'Step "{label_of(step)}" failed and nothing awaited it', error, step)


def _said(what: str, error: BaseException, step: Key | None) -> Trouble:
    shown = failures.describe(error)
    text, line = f"{what}: {shown['name']}: {shown['message']}", shown.get("line") or 0
    if shown.get("traceback"):
        last = shown["traceback"][-1]
        text += f"\n  line {last['line']}, in {last['function']}" + (f": {last['code']}" if last["code"] else "")
    return Trouble(text, step, line)


def _step_of(task: Any) -> Key | None:
    return task.step if isinstance(task, StepTask) else None


def _failed_step(error: BaseException) -> Key | None:
    """The step that raised an error, whose frames are in its traceback."""
    place = error.__traceback__
    while place is not None:
        do = None if failures.is_tenants(place.tb_frame.f_code.co_filename) else place.tb_frame.f_locals.get("do")
        if isinstance(do, Do):
            return do.key
        place = place.tb_next
    return None


def _called(task: Any) -> str:
    code = _code_of(task)
    return (
        f"the background task {code.co_name}()"
        if code is not None and failures.is_tenants(code.co_filename)
        else "a background task"
    )


def _line_of(task: Any) -> int:
    """The line at which a tenant's task waits, or its function's once its coroutine is closed; 0 for other tasks."""
    code, frame = _code_of(task), getattr(_coroutine_of(task), "cr_frame", None)
    if code is None or not failures.is_tenants(code.co_filename):
        return 0
    return int(code.co_firstlineno if frame is None else frame.f_lineno)


def _code_of(task: Any) -> Any:
    return getattr(_coroutine_of(task), "cr_code", None)


def _coroutine_of(task: Any) -> Any:
    return task.get_coro() if isinstance(task, asyncio.Task) else None
