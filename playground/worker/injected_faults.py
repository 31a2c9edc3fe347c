"""What a person has broken, inside: a first attempt begins without asking, so what is to become of it has to be known
here.

The worker claims a break when it announces such an attempt; the trusted side checks the claim and decides what is
written (`playground/engine/execution/fault_injection.py`). Of later attempts it says so itself.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from playground.worker.entrypoint import InjectedError, WorkflowTimeoutError
from playground.workflows import breaks, values


class Breaks:
    """The breaks of this execution.

    What has been claimed here is counted here: a list on its way does not know of it yet.
    """

    def __init__(self, given: Iterable[breaks.Break]) -> None:
        self._claimed: Counter[int] = Counter()
        self.update(given)

    def update(self, given: Iterable[breaks.Break]) -> None:
        """Take the breaks as they are now; `left` in them is without what was claimed here."""
        self._given = list(given)

    def take(self, name: str, count: int) -> breaks.Break | None:
        """The break that the first attempt of a step falls under, which is used once more."""
        if not self._given:
            return None
        left = [{**each, "left": each["left"] - self._claimed[each["id"]]} for each in self._given]
        found = breaks.find(left, name, count)
        if found is not None:
            self._claimed[found["id"]] += 1
        return found


async def instead(broken: Mapping[str, Any], call: Callable[[], Any], timeout: int) -> Any:
    """Do what a break says in place of an attempt: `call` is the attempt, `timeout` the step's own in milliseconds.

    Raises:
        InjectedError, WorkflowTimeoutError: that is what the break is for.
    """
    how = broken["how"]
    if how == breaks.FAIL:
        raise InjectedError(breaks.MESSAGE)
    if how == breaks.TIMEOUT:
        raise WorkflowTimeoutError(f"Execution timed out after {timeout}ms")
    if how == breaks.RETURN:
        return values.decode(broken["value"])
    await asyncio.sleep(broken["ms"] / 1000)
    result = call()
    return await result if inspect.isawaitable(result) else result
