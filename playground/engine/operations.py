"""Operations on an instance as deciders: pure functions from its state to the events to append. `[]` means: no effect.

They run inside the store's transaction, so that concurrent operations see each other, while every other commit waits.
So they ask `Snapshot.open`, which costs the same however many steps there are, and name what else they need (`Needs`).
The table of operations and statuses is that of shared/spec/semantics.md, section 5.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from playground.engine import messages
from playground.engine.delivery import (
    HELD,
    Fit,
    clock_stamp,
    fits,
    free_wait,
    is_held,
    takes,
    wait_completed,
)
from playground.sandbox.frames import size_of
from playground.store.encoding import as_objects
from playground.store.protocol import Decider, DeciderWithNeeds, Needs, Snapshot
from playground.store.rows import (
    STEP_CANCELLED,
    STEP_COMPLETED,
    STEP_OPEN,
    STEP_RETRYING,
    STEP_RUNNING,
    InboxRow,
    InstanceRow,
    StepRow,
)
from playground.workflows import breakpoints, breaks
from playground.workflows import events as ev
from playground.workflows.errors import (
    Busy,
    CannotRestart,
    CannotTerminate,
    InstanceInFiniteState,
    NothingToWake,
    NoWorker,
)
from playground.workflows.events import NewEvent, StepKey, outermost
from playground.workflows.flow import NO_LIMITS, Debounce, limits_of


def in_execution(snapshot: Snapshot) -> bool:
    """Whether an execution has started and not ended."""
    return snapshot.row.owner is not None and snapshot.row.in_execution


def end_wait(step: StepKey, timeout: int, *, virtual: bool = False) -> Decider:
    """A wait's time is over; nothing happens when its event came first."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        if not _is_open(snapshot, step):
            return []
        return [NewEvent(ev.WAIT_TIMED_OUT, {"error": messages.timed_out(timeout), **_virtual_field(virtual)}, step)]

    return decide


def cancel_suspension(step: StepKey, at: int, clocked: Mapping[str, Any]) -> Decider:
    """The code has cancelled a sleep, a wait or the wait for a child.

    An event that was delivered, but not received by the code, goes to the next wait or back to its place in the inbox.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.step(step)
        if row is None or row.status == STEP_CANCELLED:
            return []
        if step.kind == ev.SLEEP:
            return [NewEvent(ev.SLEEP_CANCELLED, clocked, step)]
        if step.kind == ev.CHILD:
            return [NewEvent(ev.CHILD_CANCELLED, clocked, step)]
        if row.status != STEP_COMPLETED or row.received is None:
            return [NewEvent(ev.WAIT_CANCELLED, clocked, step)]
        events = [NewEvent(ev.WAIT_CANCELLED, {"returned": row.received, **clocked}, step)]
        result = as_objects(row.result)
        next_wait = free_wait(snapshot, Fit(result["type"], result["payload"]), at)
        if next_wait is not None:
            events.append(
                wait_completed(
                    next_wait.key, InboxRow(row.received, result["timestamp"], result["type"], result["payload"])
                )
            )
        return events

    return DeciderWithNeeds(decide, Needs(steps=(step,)))


def reply(step: StepKey, data: Mapping[str, Any], redact: Callable[[NewEvent], NewEvent]) -> Decider:
    """Reply to the event of a wait, which must have received one; of several replies the first stands.

    `data` is that of the event, without the seq of the event it replies to.
    """
    wait = step._replace(kind=ev.WAIT)

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.step(wait)
        if snapshot.step(step) is not None or row is None or row.status != STEP_COMPLETED or row.received is None:
            return []
        return [redact(NewEvent(ev.EVENT_REPLIED, {**data, "received": row.received}, step))]

    return DeciderWithNeeds(decide, Needs(steps=(step, wait)))


class ChildEnd(NamedTuple):
    """How the child of a step has ended: with an output, or with an error."""

    step: StepKey
    started_seq: int
    output: Any = None
    error: Mapping[str, Any] | None = None


def end_children(ends: Sequence[ChildEnd], at: int, most_bytes: int) -> Decider:
    """End the steps that still wait for these children; nothing happens to the others, whoever ended them, nor to an
    instance that has ended.

    An instance that would hold more than `most_bytes`, unless it has a limit of its own, gets an error for an output.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row, events = snapshot.row, []
        if row.status in ev.FINAL_STATUSES:
            return []  # it was ended while a node brought the end
        most = (row.limits or {}).get("instance_bytes", most_bytes)
        left = most - row.stored_bytes
        for end in ends:
            step = snapshot.step(end.step)
            if step is None or step.status != STEP_OPEN or step.started_seq != end.started_seq:
                continue
            error = end.error
            if error is None:
                left -= size_of(end.output)
                error = messages.child_too_large(most) if left < 0 else None
            stamp = clock_stamp(row, at)
            if error is None:
                events.append(NewEvent(ev.CHILD_COMPLETED, {"output": end.output, **stamp}, end.step))
            else:
                events.append(NewEvent(ev.CHILD_ERRORED, {"error": error, **stamp}, end.step))
        return events

    return DeciderWithNeeds(decide, Needs(steps=tuple(end.step for end in ends), open=False))


def end_sleep(step: StepKey, *, virtual: bool = False) -> Decider:
    """A sleep is over; nothing happens when it already was."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        if not _is_open(snapshot, step):
            return []
        return [NewEvent(ev.SLEEP_COMPLETED, _virtual_field(virtual), step)]

    return decide


def pause(snapshot: Snapshot) -> Sequence[NewEvent]:
    """Stop at once, or when the attempts that run have ended."""
    row = snapshot.row
    if row.status in ev.FINAL_STATUSES or row.status in HELD or row.rollback == "running":
        return []
    if in_execution(snapshot):
        if any(step.status == STEP_RUNNING for step in snapshot.open):
            return [NewEvent(ev.WORKFLOW_WAITING_FOR_PAUSE)]
        return [NewEvent(ev.EXECUTION_ENDED, {"reason": ev.EVICTED}), NewEvent(ev.WORKFLOW_PAUSED)]
    return [NewEvent(ev.WORKFLOW_PAUSED)]


def complete_pause(snapshot: Snapshot) -> Sequence[NewEvent]:
    """The last running attempt has ended: the pause takes effect."""
    if snapshot.row.status != ev.WAITING_FOR_PAUSE or any(step.status == STEP_RUNNING for step in snapshot.open):
        return []
    return [NewEvent(ev.EXECUTION_ENDED, {"reason": ev.EVICTED}), NewEvent(ev.WORKFLOW_PAUSED)]


def resume(at: int) -> Decider:
    """Go on; events kept meanwhile go to the waits that were open."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        if snapshot.row.status not in HELD:
            return []
        events = [NewEvent(ev.WORKFLOW_RESUMED)]
        kept = list(snapshot.inbox)
        waits = [step for step in snapshot.open if step.key.kind == ev.WAIT and step.status == STEP_OPEN]
        for wait in sorted(waits, key=lambda step: step.started_seq):
            event = next((it for it in kept if takes(wait, it.type) and fits(it, wait.config)), None)
            if event is not None:
                kept.remove(event)
                events.append(wait_completed(wait.key, event, clock_stamp(snapshot.row, at)))
        return events

    return decide


def terminate(rollback: bool) -> Decider:
    """End the instance, after its rollback handlers if asked and there are any; during a rollback, asking again changes
    nothing.

    Raises CannotTerminate.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.status in ev.FINAL_STATUSES:
            raise CannotTerminate(f'Instance "{row.id}" has ended ({row.status}); there is nothing to terminate.')
        if rollback and row.rollback == "running":
            return []
        events = end_execution(snapshot, ev.KILLED)
        if row.rollback == "running":
            events += _rollback_cut_short(snapshot, messages.cancelled())
        assert not rollback or snapshot.pending_rollback is not None
        if rollback and row.rollback is None and snapshot.pending_rollback:
            return [*events, NewEvent(ev.ROLLBACK_STARTED, {"error": None})]
        return [*events, NewEvent(ev.WORKFLOW_TERMINATED)]

    return DeciderWithNeeds(decide, Needs(pending_rollback=rollback))


def debounce(params: Any, by: Debounce, most: int, at: int) -> Decider:
    """Put off the start of an instance that is held, and give it new params. No effect on one that is not held.

    Raises Busy when it was put off `most` times: its journal would grow without end.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.held_until is None or row.status in ev.FINAL_STATUSES:
            return []
        if row.last_seq > most:
            raise Busy(
                f'Instance "{row.id}" was created again {most:,} times before it could start, which is the most. It '
                "keeps its time and its params; try again once it has started.",
                retry_after=max(1, (row.held_until - at) // 1_000),
                setting="debounces_per_instance",
            )
        until = min(at + round(by.seconds * 1_000), row.created_at + round(by.longest * 1_000))
        return [NewEvent(ev.WORKFLOW_DEBOUNCED, {"params": params, "until": until})]

    return decide


def restart(
    from_step: StepKey | None,
    broken: Sequence[NewEvent] = (),
    stops: Sequence[NewEvent] = (),
    generation: int | None = None,
    *,
    at: int = 0,
) -> Decider:
    """Begin a new generation, keeping the steps that started before `from_step`. Raises CannotRestart, CannotBreak.

    One that has limits per key is held again.

    Breaks that are not used up and breakpoints stay set; `broken` sets more breaks, `stops` more breakpoints: a run is
    restarted to see a step fail that was broken before.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        data: dict[str, Any] = {}
        if generation not in (None, snapshot.row.generation):
            raise CannotRestart(f'Instance "{snapshot.row.id}" has been restarted meanwhile.')
        if from_step is not None:
            if from_step.parent is not None:
                raise CannotRestart(
                    f'Step "{from_step}" runs inside another one. Restart from "{outermost(from_step)}".'
                )
            if snapshot.step(from_step) is None:
                raise CannotRestart(
                    f'Instance "{snapshot.row.id}" has no step "{from_step}" ({from_step.kind}) to restart from.'
                )
            data["from_step"] = from_step.as_json()
        if snapshot.row.flow_key is not None and limits_of(snapshot.row.limits) != NO_LIMITS:
            data["until"] = at
        injected = snapshot.row.injected
        breaks.check_number_of_breaks(breaks.breaks_of(injected), broken)
        kept = breakpoints.lasting(breakpoints.breakpoints_of(injected))
        breakpoints.check_number_of_breakpoints(kept, stops)
        return [*end_execution(snapshot, ev.KILLED), NewEvent(ev.WORKFLOW_RESTARTED, data), *broken, *stops]

    return DeciderWithNeeds(decide, Needs(steps=() if from_step is None else (from_step,)))


def skip_sleeps(on: bool, at: int) -> Decider:
    """Have every sleep and every wait before a retry be over at once, those included that last now; or no longer.

    Waits for events stay, and so do their timeouts: an event may come. Raises InstanceInFiniteState.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        row = snapshot.row
        if row.status in ev.FINAL_STATUSES:
            raise InstanceInFiniteState(f'Instance "{row.id}" has ended ({row.status}); nothing of it sleeps any more.')
        if skips_sleeps(row.injected) == on:
            return []
        if not on:
            return [NewEvent(ev.SLEEPS_KEPT)]
        # While it is paused nothing ends; when it goes on, its execution finds that sleeps are skipped.
        waiting = [one for one in _waiting(snapshot) if one.key.kind != ev.WAIT]
        ends = [_woken(one, row, at) for one in sorted(waiting, key=lambda one: (one.until, one.started_seq))]
        return [*ends, NewEvent(ev.SLEEPS_SKIPPED)]

    return decide


def skips_sleeps(injected: Mapping[str, Any] | None) -> bool:
    """Whether an instance's sleeps are over at once, by `injected` in its row."""
    return bool((injected or {}).get("skips_sleeps"))


def _waiting(snapshot: Snapshot) -> list[StepRow]:
    """The steps that sleep, wait for an event or wait before a retry, and that no pause holds."""
    return [
        step
        for step in snapshot.open
        if step.until is not None and step.status in (STEP_OPEN, STEP_RETRYING) and not is_held(snapshot.row, step.key)
    ]


def _woken(step: StepRow, row: InstanceRow, at: int) -> NewEvent:
    """What a person's hand makes of a step that waits."""
    details = {**_virtual_field(True), **clock_stamp(row, at)}
    if step.key.kind == ev.SLEEP:
        return NewEvent(ev.SLEEP_COMPLETED, details, step.key)
    if step.key.kind == ev.WAIT:
        error = messages.timed_out((step.until or 0) - at)
        return NewEvent(ev.WAIT_TIMED_OUT, {"error": error, **details}, step.key)
    return NewEvent(ev.RETRY_WOKEN, _virtual_field(True), step.key)


def wake(step: StepKey | None, at: int) -> Decider:
    """End a sleep, a retry wait or an event's timeout: that of `step`, or the one due first. Raises NothingToWake."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        waiting = [row for row in _waiting(snapshot) if step in (None, row.key)]
        found = min(waiting, key=lambda row: (row.until, row.started_seq), default=None)
        if found is None or snapshot.row.status in ev.FINAL_STATUSES:
            raise NothingToWake("Nothing of this instance is asleep, between attempts or waiting for an event now.")
        return [_woken(found, snapshot.row, at)]

    return decide


def kill(most_losses: int) -> Decider:
    """Kill the worker now: the execution ends, and its node kills the process. Raises NoWorker."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        _check_worker(snapshot)
        return lose_worker(ev.KILLED, most_losses)(snapshot)

    return decide


def arm_kill(when: str) -> Decider:
    """Arm a kill of the worker at a point. Raises NoWorker."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        _check_worker(snapshot)
        armed = (snapshot.row.injected or {}).get("armed")
        return [] if armed == when else [NewEvent(ev.KILL_ARMED, {"when": when})]

    return decide


def _check_worker(snapshot: Snapshot) -> None:
    if not in_execution(snapshot):
        row = snapshot.row
        raise NoWorker(f'Instance "{row.id}" has no worker now ({row.status}), so there is nothing to kill.')


def disarm_kill(snapshot: Snapshot) -> Sequence[NewEvent]:
    """Disarm an armed kill."""
    return [NewEvent(ev.KILL_DISARMED)] if "armed" in (snapshot.row.injected or {}) else []


def end_execution(snapshot: Snapshot, reason: str, details: Mapping[str, Any] | None = None) -> list[NewEvent]:
    """Close what a lost execution left open: its attempts, then itself. `details` are added to the event of its end."""
    if not in_execution(snapshot):
        return []
    return [*lost_attempts(snapshot), NewEvent(ev.EXECUTION_ENDED, {"reason": reason, **(details or {})})]


def evict(snapshot: Snapshot) -> list[NewEvent]:
    """Release the worker, so that the next one runs other code; a pause that waited for it takes effect."""
    events = end_execution(snapshot, ev.EVICTED)
    if snapshot.row.status == ev.WAITING_FOR_PAUSE:
        events.append(NewEvent(ev.WORKFLOW_PAUSED))
    return events


def lost_attempts(snapshot: Snapshot) -> list[NewEvent]:
    """Every open attempt, closed as lost with its worker."""
    lost = []
    for step in snapshot.open:
        if step.key.kind == ev.DO and step.status == STEP_RUNNING:
            lost.append(
                NewEvent(ev.ATTEMPT_ERRORED, {"attempt": step.attempt, "error": messages.worker_lost()}, step.key)
            )
        if step.rollback == "running" and step.rollback_attempt:
            data = {"attempt": step.rollback_attempt, "error": messages.worker_lost()}
            lost.append(NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED, data, step.key))
    return lost


def lose_worker(reason: str, most_losses: int, details: Mapping[str, Any] | None = None) -> Decider:
    """An execution ended with its worker: close it; end the instance when one attempt has lost too many in a row."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        events = end_execution(snapshot, reason, details)
        if not events:
            return []
        for step in snapshot.open:
            running = step.status == STEP_RUNNING or step.rollback == "running"
            if running and step.losses + 1 >= most_losses:
                error = messages.lost_too_often(step.key, step.losses + 1)
                failed = [] if step.rollback == "running" else [NewEvent(ev.STEP_ERRORED, {"error": error}, step.key)]
                return [*events, *failed, *_ended_by(snapshot, error)]
        if snapshot.row.status == ev.WAITING_FOR_PAUSE:
            events.append(NewEvent(ev.WORKFLOW_PAUSED))
        return events

    return decide


def crash(most: int, most_losses: int, *, made_progress: bool) -> Decider:
    """The worker died by itself, with or without progress.

    A crash streak of `most` without progress ends the instance, which would be started for ever.
    """

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        times = 0 if made_progress else snapshot.row.crashes + 1
        details = {"crashes": times}
        events = end_execution(snapshot, ev.CRASHED, details)
        if times < most or not events:
            return lose_worker(ev.CRASHED, most_losses, details)(snapshot)
        return [*events, *_ended_by(snapshot, messages.crash_streak(times))]

    return decide


def break_limit(error: dict[str, Any]) -> Decider:
    """The worker broke a limit: the instance ends with this error."""

    def decide(snapshot: Snapshot) -> Sequence[NewEvent]:
        events = end_execution(snapshot, ev.LIMIT)
        return [*events, *_ended_by(snapshot, error)] if events else []

    return decide


def _ended_by(snapshot: Snapshot, error: Any) -> list[NewEvent]:
    """The end of an instance by something else than its code.

    In a rollback, status and error stay those of what it was begun for.
    """
    row = snapshot.row
    if row.rollback != "running":
        return [NewEvent(ev.WORKFLOW_ERRORED, {"error": error})]
    last = (
        NewEvent(ev.WORKFLOW_TERMINATED) if row.error is None else NewEvent(ev.WORKFLOW_ERRORED, {"error": row.error})
    )
    return [*_rollback_cut_short(snapshot, error), last]


def _rollback_cut_short(snapshot: Snapshot, error: Any) -> list[NewEvent]:
    open_ = [step.key for step in snapshot.open if step.rollback in ("running", "retrying")]
    return [
        *(NewEvent(ev.ROLLBACK_STEP_ERRORED, {"error": error}, key) for key in open_),
        NewEvent(ev.ROLLBACK_ERRORED, {"error": error}),
    ]


def _is_open(snapshot: Snapshot, key: StepKey) -> bool:
    """Whether a sleep or a wait is open."""
    return any(step.key == key and step.status == STEP_OPEN for step in snapshot.open)


def _virtual_field(virtual: bool) -> dict[str, Any]:
    return {"virtual": True} if virtual else {}
