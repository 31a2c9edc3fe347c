"""The output gate: an isolated worker goes on before its results are durable, since nothing leaves it before they are.

A worker of tier A, B or C has one socket and no other way out, so nobody can tell when one of its awaits returned. It
goes on as soon as it has sent a result; results are committed in the order in which it sent them, in groups. What it
causes outside waits for the commits before it: calls of bindings, the end of the run, all that streams and pages show.
Known as external synchrony (Nightingale et al., "Rethink the Sync", OSDI 2006) and as the output gate of Cloudflare's
Durable Objects.

What the server decides (the end of a sleep, an event, an error after the last attempt) is committed first and sent
then. A worker that runs ahead may have gone on without it: what it had sent before it received that end comes first for
its code, so it comes first in every replay. Such an end has been overtaken, and the commit that holds what overtook it
says so (`step_released` with `reordered`). No crash can come between the two.

The gate is closed, and each step acknowledged after its commit, without isolation, with `--commit-each-step`, in chaos
runs, and while a kill is armed, or a break or a breakpoint is set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from playground.sandbox.tiers import Tier
from playground.settings import Settings
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

ISOLATED = frozenset("ABC")  # tiers whose workers have no other way out


def may_run_ahead(tier: Tier, settings: Settings) -> bool:
    """Whether workers on this machine go on before their results are durable."""
    return tier.letter in ISOLATED and not settings.commit_each_step


@dataclass(slots=True, eq=False)
class SentEnd:
    """The end of a step on its way to the worker.

    `index` is which frame it is, from 1; None until it is sent.
    """

    key: StepKey
    index: int | None = None


class OutputGate:
    """Whether one worker may run ahead, and which ends it has not received yet.

    Args:
        allowed: whether it may at all in this execution.
    """

    def __init__(self, *, allowed: bool) -> None:
        self.allowed = allowed
        self.closed = False
        self.received = 0  # frames that the worker had received when it sent what is handled now
        self._ends: list[SentEnd] = []  # in the order of the journal

    @property
    def is_open(self) -> bool:
        """Whether the worker goes on before its results are durable."""
        return self.allowed and not self.closed

    def add_end(self, key: StepKey) -> SentEnd | None:
        """The server has committed the end of a step and is to send it. None: its order does not matter.

        A call inside a callback is in no replay once the step of the callback has ended.
        """
        if not self.allowed or key.parent is not None:
            return None
        end = SentEnd(key)
        self._ends.append(end)
        return end

    def on_received(self, received: int, sent: int) -> bool:
        """The worker reports how many of the `sent` frames it has received. False: it can't have."""
        if not self.allowed or not self.received < received <= sent:
            return False
        self.received = received
        return True

    def arrange(self, groups: Sequence[tuple[Sequence[NewEvent], int | None]]) -> tuple[list[NewEvent], list[SentEnd]]:
        """The events of one commit, with the ends that they overtake moved behind them; and the ends that the worker
        has received, to be forgotten once this is committed.

        Each group of events comes with how many frames the worker had received when it sent them; None: they are not
        the worker's, or its code goes on only after the commit.
        """
        events: list[NewEvent] = []
        unreceived, overtaken, received_ends, place = list(self._ends), False, [], 0
        for group, received in groups:
            if received is not None and unreceived:
                while unreceived and (index := unreceived[0].index) is not None and index <= received:
                    end = unreceived.pop(0)
                    received_ends.append(end)
                    if overtaken:
                        events.append(_moved(end))
                overtaken = bool(unreceived)
            events += group
            if received is not None:
                place = len(events)
        if overtaken:  # right behind what overtook them: nothing may follow the event that ends an instance
            events[place:place] = [_moved(end) for end in unreceived]
        return events, received_ends

    def forget(self, received_ends: Sequence[SentEnd]) -> None:
        """Forget ends that the worker has received."""
        if received_ends:
            assert self._ends[: len(received_ends)] == received_ends, "ends are received in the order of the journal"
            del self._ends[: len(received_ends)]


def _moved(end: SentEnd) -> NewEvent:
    return NewEvent(ev.STEP_RELEASED, {"reordered": True}, end.key)
