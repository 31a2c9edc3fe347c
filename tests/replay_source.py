"""What stands in every program of the property test of replay: head, end, and the errors that callbacks raise."""

HEAD = """
import asyncio
import json
import subprocess
from replay_world import WORLD
from workers import NonRetryableError, WorkflowEntrypoint, WorkflowTimeoutError

KNOWN = (ValueError, LookupError, OSError, RuntimeError, ImportError, TimeoutError, SystemExit, asyncio.CancelledError)
SHOWN = ("code", "errno", "filename", "strerror", "name", "returncode", "pos", "start", "reason")

class Declined(NonRetryableError):
    def __init__(self, message, code):
        super().__init__(message)
        self.code = code

def patient(delay):
    return {"retries": {"limit": 9, "delay": delay, "backoff": "constant"}, "timeout": "300 days"}

ONCE = {"retries": {"limit": 0, "delay": 0}, "timeout": "300 days"}

def told(error):
    "All that a workflow may see of an error."
    if error is None:
        return None
    mine = (*KNOWN, NonRetryableError, Declined, TenantWorkflow.SoldOut)
    known = [it.__name__ for it in mine if isinstance(error, it)]
    shown = {"type": type(error).__name__, "is": known, "text": str(error), "args": repr(error.args)}
    shown |= {name: value for name in SHOWN if isinstance(value := getattr(error, name, None), (str, int))}
    if isinstance(error, BaseExceptionGroup):
        del shown["args"]
        shown["members"] = [told(member) for member in error.exceptions]
    if getattr(error, "__notes__", None):
        shown["notes"] = error.__notes__
    if error.__cause__ is not None:
        shown["cause"] = told(error.__cause__)
    return shown

def result(task):
    "What a task has come to, in a word."
    if task.cancelled():
        return "called off"
    return str(task.exception()) if task.exception() else task.result()

async def calling_off(tasks, awaited):
    "Await something for the sake of these tasks, which go when it does."
    try:
        return await awaited
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        raise

class TenantWorkflow(WorkflowEntrypoint):
    class SoldOut(Exception):
        pass

    async def run(self, event, step):
        run_id, seen, late = event["instanceId"], [], []
"""
TAIL = """
value = await whole()
return {"value": value, "seen": seen, "late": sorted(late)}
"""

CAUSE = """
try:
    int("x")
except ValueError as inner:
    error = RuntimeError("{unit} for a cause")
    error.add_note("a note")
    raise error from inner
"""
GROUP = """
raise ExceptionGroup("{unit} several", [ValueError("a"), ExceptionGroup("inner", [KeyError("b"), OSError(5, "c")])])
"""
# What callbacks raise, by a name: the statements, the class that catches it, and what it takes to be caught.
ERRORS = {
    "json": ('json.loads("{oops")', "ValueError"),
    "declined": ('raise Declined("{unit} declined", code=51)', "Declined"),
    "sold out": ('raise self.SoldOut("{unit} sold out")', "self.SoldOut"),
    "os": ('raise FileNotFoundError(2, "No such file", "/{unit}")', "OSError"),
    "key": ('raise KeyError("{unit}")', "LookupError"),
    "unicode": ('b"\\xff".decode()', "ValueError"),
    "import": ('raise ImportError("{unit}", name="pandas")', "ImportError"),
    "process": ('raise subprocess.CalledProcessError(3, "{unit}")', "subprocess.SubprocessError"),
    "group": (GROUP, "Exception"),
    "cause": (CAUSE, "RuntimeError"),
    "local": ('class Odd(LookupError):\n    pass\nraise Odd("{unit} is odd")', "LookupError"),
    "exit": ("raise SystemExit(3)", "SystemExit"),
    "cancelled": ('raise asyncio.CancelledError("{unit} by itself")', "asyncio.CancelledError"),
    "timeout": ('raise asyncio.TimeoutError("{unit}")', "TimeoutError"),
    "args": ('raise ValueError("{unit}", 3)', "ValueError"),
}
RETRIED = tuple(
    f'{name}("{{unit}} is not ready")' for name in ("ConnectionError", "asyncio.CancelledError", "self.SoldOut")
)
