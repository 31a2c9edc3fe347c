"""The errors and sentences the engine puts into a journal: one place for their names and wording."""

import re
from collections.abc import Mapping
from typing import Any

from playground.engine.code.sources import is_deployed
from playground.settings import is_setting
from playground.workflows.errors import WORKER_LOST, setting_sentence
from playground.workflows.events import StepKey

LIMIT = "LimitExceeded"
TIMEOUT = "WorkflowTimeoutError"
GIVEN_ERROR = "StepError"  # the class of an error that is given without a name
MAX_ERROR_MESSAGE = 10_000  # characters, as many as are kept of an error that the code raises
_ERROR_NAME = re.compile(r"[^\W\d]\w{0,199}")
GIVEN_BY_HAND = "This error was given by hand, where the run was stopped before the step."

# By the word that a limit's error begins with: the setting that it is, and what to do about it.
LIMITS: Mapping[str, tuple[str, str]] = {
    "processor time": ("attempt_cpu_seconds", "Compute less in one step: split it into several."),
    "attempt time": ("attempt_wall_seconds", "Do less in one attempt; to wait, use step.sleep, which needs no worker."),
    "not answering": (
        "attempt_wall_seconds",
        "Put what takes long into steps; to wait, use step.sleep or asyncio.sleep, not time.sleep.",
    ),
    "memory": ("worker_memory_bytes", "Work through the data in smaller pieces."),
    "steps": ("step_limit", "Split the work into several instances."),
    "patches": ("patch_limit", "Remove patches whose old way no run takes any more."),
    "journal": ("journal_events", "Split the work into several instances."),
    "result": ("value_bytes", "Keep large data elsewhere and return its address."),
    "storage": ("instance_bytes", "Keep large data elsewhere and store its address."),
    "output": ("value_bytes", "Print and return less: keep large data elsewhere."),
    "children": ("children_limit", "Give each child more of the work."),
    "child depth": ("child_depth", "Start the child from a run further up."),
    "calls": ("calls_per_execution", "Call bindings less often."),
    "streams": ("stream_bytes", "Append less often, or values that say more."),
    "protocol": ("protocol", ""),
}


def error(name: str, message: str, line: int | None = None) -> dict[str, Any]:
    """An error in the journal's form, with no tenant frames."""
    return {"name": name, "message": message, "traceback": [], "line": line}


def given_error(name: str | None, message: str | None, line: int | None) -> dict[str, Any]:
    """An error by which somebody has a step end. Raises ValueError: no class has such a name, or it says too much."""
    if name is not None and not _ERROR_NAME.fullmatch(name):
        raise ValueError("The error's name is that of a class: letters, digits and _, 200 characters at most.")
    if message is not None and len(message) > MAX_ERROR_MESSAGE:
        raise ValueError(f"The error's message is longer than {MAX_ERROR_MESSAGE:,} characters.")
    return error(GIVEN_ERROR if name is None else name, GIVEN_BY_HAND if message is None else message, line)


def worker_lost() -> Mapping[str, Any]:
    """An attempt ended with its worker."""
    return error(WORKER_LOST, "The worker was lost while this attempt ran. It is not held against the step's retries.")


def lost_too_often(step: StepKey, times: int) -> Mapping[str, Any]:
    """One attempt after another was lost with its worker."""
    return error(
        "WorkerLostRepeatedly",
        f'The worker was lost {times} times in a row while step "{step.label}" ran; it is not tried again.',
    )


def crash_streak(times: int) -> Mapping[str, Any]:
    """Worker after worker died by itself before it came to a new step."""
    message = (
        f"The worker died {times} times in a row before it came to a new step, so what kills it is code outside any "
        "step; it is not tried again."
    )
    return error("WorkerLostRepeatedly", message)


def timed_out(milliseconds: int) -> Mapping[str, Any]:
    """An attempt or a wait was over its timeout (Cloudflare's wording)."""
    return error(TIMEOUT, f"Execution timed out after {milliseconds}ms")


def cancelled() -> Mapping[str, Any]:
    """An attempt that still ran when `run` failed."""
    return error("Cancelled", "The run ended while this attempt was running.")


def child_terminated(id: str) -> Mapping[str, Any]:
    """A child was ended by a person or a program."""
    return error("ChildTerminated", f'The child "{id}" was terminated.')


def child_gone(id: str) -> Mapping[str, Any]:
    """A child is not kept any more, so nobody knows how it ended."""
    return error("ChildDeleted", f'The child "{id}" was deleted.')


def child_too_large(most: int) -> Mapping[str, Any]:
    """There is no room for a child's output."""
    return limit(f"storage: with the child's output the instance would hold more than {most:,} bytes", "")


def too_many_children(most: int) -> Mapping[str, Any]:
    """An instance has run as many children as it may."""
    return limit(f"children: the limit of {most:,} children of one instance has been reached", "", "children_limit")


def children_too_deep(most: int) -> Mapping[str, Any]:
    """A child of a child … would run one more."""
    return limit(f"child depth: children of children may be {most:,} deep", "", "child_depth")


def rollback_missing(step: StepKey) -> Mapping[str, Any]:
    """A handler that the code no longer reaches."""
    return error("RollbackMissing", f'The rollback of step "{step.label}" was not reached when the code ran again.')


def stuck() -> Mapping[str, Any]:
    """Nothing runs, sleeps or waits for an event, and `run` has not returned."""
    return error(
        "Stuck",
        "The workflow waits for something that can't happen: no step runs, and it neither sleeps nor waits for an "
        "event.",
    )


def limit(what: str, where: str, setting: str = "") -> Mapping[str, Any]:
    """A worker broke a limit; `what` names it with its number, `where` is what ran.

    What to do about it follows, and the setting, where they are known.
    """
    advice = LIMITS.get(what.partition(":")[0], ("", ""))[1]
    parts = [advice, setting_sentence(setting) if is_setting(setting) else ""]
    what_to_do = " ".join(sentence for sentence in parts if sentence)
    return error(LIMIT, f"{what} {where}".strip() + (f". {what_to_do}" if what_to_do else ""))


def attempt_time(seconds: int, step: StepKey, workflow: str, did: str = "ran") -> Mapping[str, Any]:
    """An attempt took longer than any may. It is tried again as after any other failure."""
    over = limit(
        f"attempt time: more than {seconds:,} s", f'while step "{step.label}" {did}', attempt_time_setting(workflow)
    )
    return error(TIMEOUT, over["message"])


def setting_of(what: str) -> str:
    """The limit that was broken, from the word that `what` begins with."""
    word = what.partition(":")[0]
    return LIMITS[word][0] if word in LIMITS else word


def attempt_time_setting(workflow: str) -> str:
    """The setting that bounds an attempt: code that a tenant has deployed over the API has its own."""
    return "tenant_attempt_wall_seconds" if is_deployed(workflow) else "attempt_wall_seconds"


def out_of_memory(most: int) -> str:
    """The message of a MemoryError of the tenant's code, which Python leaves empty."""
    return f"A worker may use {most:,} bytes of memory in all. {LIMITS['memory'][1]}"
