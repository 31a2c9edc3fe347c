"""What a chaos run has in store for one of its instances: the worker is killed before one commit, and no wait takes any
time.

The plan is in the row (`injected["chaos"]`): `kill_before_commit` (a number from 1, None: never), `timed_out` (waits as
name and count, which get no event) and, once it has happened, `killed`. A commit is that of a step's result or last
error, and last the one that ends the run.
"""

from typing import Any

from playground.engine.execution import open_steps
from playground.engine.execution.conversation import Conversation
from playground.store.protocol import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import StepKey


class Chaos:
    """The plan of one execution.

    `virtual`: sleeps, retries and waits end at once; without a plan nothing of all this happens.
    """

    def __init__(self, execution: Conversation) -> None:
        self._execution = execution
        self._before: int | None = None
        self._commits = 0
        self._late: frozenset[tuple[str, int]] = frozenset()
        self.virtual = False

    def begin(self, row: InstanceRow) -> None:
        """Take the plan from the row, and what has been committed from the steps."""
        plan = (row.injected or {}).get("chaos")
        if plan is None:
            return
        self.virtual = True
        self._late = frozenset((name, count) for name, count in plan["timed_out"])
        if "killed" not in plan:
            self._before = plan["kill_before_commit"]
        self._commits = sum(
            step.key.kind == ev.DO and step.status == open_steps.OVER for step in self._execution.steps.values()
        )

    def waits_in_vain(self, step: StepKey) -> bool:
        """Whether a wait is to time out, as it did in the run that this one repeats."""
        return (step.name, step.count) in self._late

    def strikes(self, step: StepKey | None) -> bool:
        """Count a commit that is about to be made; True when the worker was killed before it.

        `step` None is the end of the run.
        """
        if self._before is None:
            return False
        self._commits += 1
        if self._commits != self._before:
            return False
        told: dict[str, Any] = {"injected": self._before}
        if step is not None:
            told["step"] = step.as_json()
        self._execution.drop(told)
        return True


def commits(steps: int) -> int:
    """How many commits a run with so many `do`s made that a worker may be killed before."""
    return steps + 1


def spread(made: int, most: int) -> list[int]:
    """The commits to kill before: all, or as many as may be, evenly spread with the first and the last among them."""
    if made <= most:
        return list(range(1, made + 1))
    return [1] if most == 1 else [1 + place * (made - 1) // (most - 1) for place in range(most)]
