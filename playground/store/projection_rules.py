"""The rules of the projection: what each type of event does to an instance, its steps and its inbox.

An event without a rule only lengthens the journal.
"""

from collections.abc import Callable, Mapping
from typing import Any

from playground.store import protocol as rows
from playground.store.encoding import encode, plain
from playground.store.errors import JournalError
from playground.store.projection_fold import Fold, key_of, replace
from playground.store.protocol import InboxRow, StepRow
from playground.workflows import breaks
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

WORKER_LOST = "WorkerLost"  # the name of an attempt's error when its worker died; a loss is not the tenant's failure

# What becomes of a step's rollback handler.
HANDLER_PENDING = "pending"
HANDLER_RUNNING = "running"
HANDLER_RETRYING = "retrying"
HANDLER_COMPLETED = "completed"
HANDLER_ERRORED = "errored"

# What becomes of an instance's rollback as a whole.
ROLLBACK_RUNNING = "running"
ROLLBACK_COMPLETE = "complete"
ROLLBACK_ERRORED = "errored"

Rule = Callable[[Fold, NewEvent], None]


def _queued(fold: Fold, event: NewEvent) -> None:
    fold.become(ev.QUEUED)
    fold.changed["due_at"] = fold.at
    fold.store(encode(event.data["params"]))


def _workflow_started(fold: Fold, event: NewEvent) -> None:
    fold.changed["started_at"] = fold.at


def _waiting(fold: Fold, event: NewEvent) -> None:
    fold.become(ev.WAITING)
    if "clock_us" in event.data:
        fold.changed["clock"] = event.data["clock_us"]
    fold.changed["wait_until"] = fold.changed["due_at"] = event.data.get("until")


def _waiting_for_pause(fold: Fold, event: NewEvent) -> None:
    fold.become(ev.WAITING_FOR_PAUSE)


def _paused(fold: Fold, event: NewEvent) -> None:
    fold.become(ev.PAUSED)
    fold.changed.update(paused_at=fold.at, due_at=None, wait_until=None, owner=None, in_execution=False)


def _resumed(fold: Fold, event: NewEvent) -> None:
    if fold.status == ev.WAITING_FOR_PAUSE:
        fold.become(ev.RUNNING)
        return
    paused_at = fold.get("paused_at")
    held = fold.at - (fold.at if paused_at is None else paused_at)
    fold.become(ev.QUEUED)
    fold.changed.update(due_at=fold.at, paused_at=None)
    for key, step in fold.all_steps().items():
        if step.until is not None and step.status in (rows.STEP_OPEN, rows.STEP_RETRYING):
            step = fold.touched[key] = replace(step, until=step.until + held)
        if step.rollback_until is not None and step.rollback == HANDLER_RETRYING:
            fold.touched[key] = replace(step, rollback_until=step.rollback_until + held)


def _restarted(fold: Fold, event: NewEvent) -> None:
    steps = fold.all_steps()
    origin = event.data.get("from_step")
    first = steps.get(StepKey.from_json(origin)) if origin else None
    before = 0 if first is None else first.started_seq
    kept = [step for step in steps.values() if step.started_seq < before]
    fold.kept_before = before if fold.kept_before is None else min(before, fold.kept_before)
    fold.touched = {key: step for key, step in fold.touched.items() if step.started_seq < before}
    fold.started &= fold.touched.keys()
    fold.clear_inbox()
    fold.become(ev.QUEUED)
    fold.changed.update(
        generation=fold.get("generation") + 1, due_at=fold.at, wait_until=None, fresh=True, owner=None, in_execution=False,
        output=None, error=None, started_at=None, ended_at=None, rollback=None, paused_at=None, log_bytes=0, stored_bytes=0, clock=None,
    )  # fmt: skip
    fold.store(encode(fold.row.params))
    fold.changed["stored_bytes"] += sum(step.result_bytes for step in kept)


def _execution_started(fold: Fold, event: NewEvent) -> None:
    if fold.status != ev.WAITING_FOR_PAUSE:
        fold.become(ev.RUNNING)
    fold.changed.update(in_execution=True, due_at=None, wait_until=None)


def _execution_ended(fold: Fold, event: NewEvent) -> None:
    fold.changed.update(owner=None, in_execution=False, fresh=False)
    if event.data["reason"] in ev.DISARMING and "armed" in (fold.get("injected") or {}):
        _inject(fold, "armed", None)
    if "injected" in event.data:
        _inject(fold, "chaos", {**fold.get("injected")["chaos"], "killed": {"step": event.data.get("step")}})
    if fold.status == ev.WAITING:
        fold.changed["due_at"] = fold.get("wait_until")
    elif fold.status in (ev.QUEUED, ev.RUNNING):
        fold.become(ev.QUEUED)
        fold.changed["due_at"] = fold.at
    elif fold.status == ev.WAITING_FOR_PAUSE:
        fold.changed["due_at"] = fold.at


def _step_copied(fold: Fold, event: NewEvent) -> None:
    data, key = event.data, key_of(event)
    config, handler = data.get("config"), data.get("rollback")
    over = rows.STEP_COMPLETED if data["status"] == rows.STEP_COMPLETED else rows.STEP_ERRORED
    row = StepRow(
        key, over, fold.seq, data.get("line"), config, 0, 0, 0, None, None, data.get("error"), data.get("event_type"),
        HANDLER_PENDING if handler else None, handler or None, started_clock=data.get("began_us"), clock=data.get("clock_us"),
        ended_seq=data.get("ended", fold.seq),
    )  # fmt: skip
    if over == rows.STEP_COMPLETED and key.kind != ev.SLEEP:
        result = event.secret if (config or {}).get("sensitive") or event.secret is not None else data.get("output")
        fold.results[key] = text = encode(result)
        row = replace(row, result=result, result_bytes=fold.store(text))
    fold.start(row)


def _code_changed(fold: Fold, event: NewEvent) -> None:
    fold.changed["snippet"] = event.data["snippet"]
    if fold.status == ev.WAITING:
        fold.changed["due_at"] = fold.at  # so that what the new code does besides waiting begins


def _step_started(fold: Fold, event: NewEvent) -> None:
    data = event.data
    handler = data.get("rollback")
    row = StepRow(
        key_of(event), rows.STEP_RUNNING, fold.seq, data.get("line"), data.get("config"), 0, 0, 0, None, None, None, None,
        HANDLER_PENDING if handler else None, handler or None, started_clock=data.get("clock_us"),
    )  # fmt: skip
    fold.start(row)
    fold.stirred()


def _attempt_started(fold: Fold, event: NewEvent) -> None:
    step = fold.step(event)
    fold.put(replace(step, status=rows.STEP_RUNNING, attempt=event.data["attempt"], until=None))
    if "break" in event.data:
        _breaks(fold, event)
    fold.stirred()


def _breaks(fold: Fold, event: NewEvent) -> None:
    before = (fold.get("injected") or {}).get("breaks", ())
    _inject(fold, "breaks", breaks.after(before, event.type, fold.seq, event.data))


def _armed(fold: Fold, event: NewEvent) -> None:
    _inject(fold, "armed", event.data.get("when"))


def _inject(fold: Fold, name: str, value: Any) -> None:
    others = {key: each for key, each in (fold.get("injected") or {}).items() if key != name}
    fold.changed["injected"] = {**others, name: value} if value else others or None


def _attempt_completed(fold: Fold, event: NewEvent) -> None:
    step = fold.step(event)
    if step.losses:
        fold.put(replace(step, losses=0))


def _attempt_errored(fold: Fold, event: NewEvent) -> None:
    step, data = fold.step(event), event.data
    delay = data.get("retry_delay_ms")
    if data["error"]["name"] == WORKER_LOST:
        changed: dict[str, Any] = {"losses": step.losses + 1, "status": rows.STEP_RETRYING, "until": fold.at}
    else:
        changed = {"losses": 0, "failures": step.failures + 1, "status": rows.STEP_RETRYING, "until": fold.at + (delay or 0)}
    fold.put(replace(step, attempt=data["attempt"], **changed))


def _retry_woken(fold: Fold, event: NewEvent) -> None:
    fold.put(replace(fold.step(event), until=fold.at))
    fold.stirred()


def _step_completed(fold: Fold, event: NewEvent) -> None:
    sensitive = (fold.step(event).config or {}).get("sensitive")  # then None is the output, not the want of one
    _complete(fold, event, event.secret if sensitive or event.secret is not None else event.data.get("output"))


def _step_errored(fold: Fold, event: NewEvent) -> None:
    step = fold.step(event)
    fold.put(replace(step, status=rows.STEP_ERRORED, error=event.data.get("error"), until=None, **_ended(fold, event)))
    fold.stirred()


def _complete(fold: Fold, event: NewEvent, result: Any) -> None:
    step = fold.step(event)
    fold.results[step.key] = text = encode(result)
    size = fold.store(text)
    received = event.data.get("received")
    fold.put(replace(step, status=rows.STEP_COMPLETED, result=result, result_bytes=size, until=None, received=received, **_ended(fold, event)))
    fold.stirred()


def _ended(fold: Fold, event: NewEvent) -> dict[str, Any]:
    """When a step ended. Where no worker told the time, its clock stood still since the last one that had nothing left but to wait."""
    clock = event.data.get("clock_us")
    return {"ended_seq": fold.seq, "clock": fold.get("clock") if clock is None else clock}


def _released(fold: Fold, event: NewEvent) -> None:
    fold.put(replace(fold.step(event), clock=event.data["clock_us"]))


def _given_up(fold: Fold, event: NewEvent) -> None:
    step, returned = fold.step(event), event.data.get("returned")
    fold.put(replace(step, status=rows.STEP_CANCELLED, until=None, **_ended(fold, event)))
    if returned is not None:
        given = plain(step.result)
        fold.inbox_added[returned] = InboxRow(returned, given["timestamp"], given["type"], given["payload"])
    fold.stirred()


def _timer_started(fold: Fold, event: NewEvent) -> None:
    data = event.data
    row = StepRow(
        key_of(event),
        rows.STEP_OPEN,
        fold.seq,
        data.get("line"),
        None,
        0,
        0,
        0,
        data["until"],
        None,
        None,
        data.get("event_type"),
        started_clock=data.get("clock_us"),
    )
    fold.start(row)


def _sleep_completed(fold: Fold, event: NewEvent) -> None:
    fold.put(replace(fold.step(event), status=rows.STEP_COMPLETED, result=None, until=None, **_ended(fold, event)))
    fold.stirred()


def _wait_completed(fold: Fold, event: NewEvent) -> None:
    received = event.data.get("received")
    if received is not None and fold.inbox_added.pop(received, None) is None:
        fold.inbox_removed.append(received)
    _complete(fold, event, event.data["event"])


def _event_received(fold: Fold, event: NewEvent) -> None:
    payload = event.data["payload"]
    fold.store(encode(payload))
    fold.inbox_added[fold.seq] = InboxRow(fold.seq, fold.at, event.data["type"], payload)


def _kv_put(fold: Fold, event: NewEvent) -> None:
    text = fold.kv[event.data["key"]] = encode(event.data["value"] if event.secret is None else event.secret)
    fold.store(text)


def _kv_deleted(fold: Fold, event: NewEvent) -> None:
    fold.kv[event.data["key"]] = None


def _migrated(fold: Fold, event: NewEvent) -> None:
    fold.changed["snippet"] = event.data["to"]


def _log(fold: Fold, event: NewEvent) -> None:
    text = event.data["text"]
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise JournalError(f"a log line of instance {fold.row.id} is not text") from None
    fold.changed["log_bytes"] = fold.get("log_bytes") + size


def _completed(fold: Fold, event: NewEvent) -> None:
    fold.finish(ev.COMPLETE, event.data.get("output"), None)


def _errored(fold: Fold, event: NewEvent) -> None:
    fold.finish(ev.ERRORED, None, event.data.get("error"))


def _terminated(fold: Fold, event: NewEvent) -> None:
    fold.finish(ev.TERMINATED, None, event.data.get("error"))


def _rollback_started(fold: Fold, event: NewEvent) -> None:
    fold.changed.update(rollback=ROLLBACK_RUNNING, error=event.data.get("error"))
    if fold.get("in_execution"):
        fold.stirred()
    else:
        fold.become(ev.QUEUED)
        fold.changed.update(due_at=fold.at, wait_until=None, paused_at=None)


def _rollback_completed(fold: Fold, event: NewEvent) -> None:
    fold.changed["rollback"] = ROLLBACK_COMPLETE


def _rollback_errored(fold: Fold, event: NewEvent) -> None:
    fold.changed["rollback"] = ROLLBACK_ERRORED


def _handler_started(fold: Fold, event: NewEvent) -> None:
    fold.put(replace(fold.step(event), rollback=HANDLER_RUNNING, rollback_until=None))
    fold.stirred()


def _handler_attempt_started(fold: Fold, event: NewEvent) -> None:
    step = fold.step(event)
    attempt = event.data["attempt"]
    fold.put(replace(step, rollback=HANDLER_RUNNING, rollback_attempt=attempt, rollback_until=None))
    fold.stirred()


def _handler_attempt_errored(fold: Fold, event: NewEvent) -> None:
    step, data = fold.step(event), event.data
    delay = data.get("retry_delay_ms")
    if data["error"]["name"] == WORKER_LOST:
        changed: dict[str, Any] = {"losses": step.losses + 1, "rollback": HANDLER_RETRYING, "rollback_until": fold.at}
    else:
        changed = {"losses": 0, "rollback_failures": step.rollback_failures + 1, "rollback": HANDLER_RETRYING}
        changed["rollback_until"] = fold.at + (delay or 0)
    fold.put(replace(step, rollback_attempt=data["attempt"], **changed))


def _handler_ended(status: str) -> Rule:
    def rule(fold: Fold, event: NewEvent) -> None:
        fold.put(replace(fold.step(event), rollback=status, rollback_until=None))
        fold.stirred()

    return rule


RULES: Mapping[str, Rule] = {
    ev.WORKFLOW_QUEUED: _queued,
    ev.WORKFLOW_STARTED: _workflow_started,
    ev.WORKFLOW_WAITING: _waiting,
    ev.WORKFLOW_WAITING_FOR_PAUSE: _waiting_for_pause,
    ev.WORKFLOW_PAUSED: _paused,
    ev.WORKFLOW_RESUMED: _resumed,
    ev.WORKFLOW_RESTARTED: _restarted,
    ev.WORKFLOW_COMPLETED: _completed,
    ev.WORKFLOW_ERRORED: _errored,
    ev.WORKFLOW_TERMINATED: _terminated,
    ev.EXECUTION_STARTED: _execution_started,
    ev.EXECUTION_ENDED: _execution_ended,
    ev.CODE_CHANGED: _code_changed,
    ev.STEP_COPIED: _step_copied,
    ev.STEP_STARTED: _step_started,
    ev.ATTEMPT_STARTED: _attempt_started,
    ev.ATTEMPT_COMPLETED: _attempt_completed,
    ev.ATTEMPT_ERRORED: _attempt_errored,
    ev.RETRY_WOKEN: _retry_woken,
    ev.KILL_ARMED: _armed,
    ev.KILL_DISARMED: _armed,
    ev.BREAK_SET: _breaks,
    ev.BREAK_CLEARED: _breaks,
    ev.STEP_COMPLETED: _step_completed,
    ev.STEP_ERRORED: _step_errored,
    ev.SLEEP_STARTED: _timer_started,
    ev.SLEEP_COMPLETED: _sleep_completed,
    ev.WAIT_STARTED: _timer_started,
    ev.WAIT_COMPLETED: _wait_completed,
    ev.WAIT_TIMED_OUT: _step_errored,
    ev.SLEEP_CANCELLED: _given_up,
    ev.WAIT_CANCELLED: _given_up,
    ev.STEP_RELEASED: _released,
    ev.EVENT_RECEIVED: _event_received,
    ev.KV_PUT: _kv_put,
    ev.KV_DELETED: _kv_deleted,
    ev.WORKFLOW_MIGRATED: _migrated,
    ev.LOG: _log,
    ev.ROLLBACK_STARTED: _rollback_started,
    ev.ROLLBACK_STEP_STARTED: _handler_started,
    ev.ROLLBACK_ATTEMPT_STARTED: _handler_attempt_started,
    ev.ROLLBACK_ATTEMPT_COMPLETED: _attempt_completed,
    ev.ROLLBACK_ATTEMPT_ERRORED: _handler_attempt_errored,
    ev.ROLLBACK_STEP_COMPLETED: _handler_ended(HANDLER_COMPLETED),
    ev.ROLLBACK_STEP_ERRORED: _handler_ended(HANDLER_ERRORED),
    ev.ROLLBACK_COMPLETED: _rollback_completed,
    ev.ROLLBACK_ERRORED: _rollback_errored,
}
