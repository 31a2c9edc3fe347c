"""Legal journals that nobody has thought of: a small model of an instance that knows what the engine could write next.

`Model` shares no code with the folds. A journal is played from numbers. Each stands for one of the moves that are legal
at that moment, and 0 for none, so that Hypothesis can take moves away. A move is one commit, as the engine writes it.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from journal_injected import Injected
from journal_parts import (
    CANCELLED,
    COMPLETED,
    ERROR,
    ERRORED,
    EVENT_TYPES,
    GIVEN_UP,
    HANDLER,
    HELD,
    LOST,
    MOST_LOSSES,
    OPEN,
    OUTPUTS,
    PENDING,
    RETRYING,
    RUNNING,
    TIMED_OUT,
    TIMEOUT,
    Step,
)  # fmt: skip

from playground.workflows import events as ev
from playground.workflows.events import StepKey

Move = Callable[[Random], None]


class Model(Injected):
    """An instance and what may happen to it.

    With `chaos` it is of a chaos run, whose plan is `injected` into its row; with `forked` it begins with copied steps.
    """

    def __init__(self, pick: Random, *, chaos: bool, forked: bool) -> None:
        super().__init__(chaos=chaos)
        trigger: Any = {"kind": "fork", "of": "other", "seq": 9} if forked else "api"
        asked: dict[str, Any] = {}
        if not forked and pick.random() < 0.3:
            asked["flow"] = {"key": "order-7", "until": self._at + pick.choice((0, 500)), "concurrency_per_key": 1}
        self._held = bool(asked)
        self._add(ev.WORKFLOW_QUEUED, params=pick.choice([None, {"a": 1}]), trigger=trigger, **asked)
        for ended in range(1, pick.randrange(2, 6) if forked else 1):
            self._copy(pick, ended)
        self._commit()

    def move(self, number: int) -> None:
        """Make the move that a number stands for; it may find nothing to do."""
        moves = self._moves()
        pick = Random(number // len(moves))
        self._at += pick.choice((0, 1, 30, 5_000))
        moves[number % len(moves)](pick)
        if self._adding:
            self._commit()

    def _moves(self) -> list[Move]:
        if self._status in ev.FINAL_STATUSES:
            return [self._restart]
        anywhere = [
            self._receive, self._receive, self._set_break, self._clear_break, self._disarm, self._skip_sleeps,
            self._tag, self._terminate,
            self._set_breakpoint, self._clear_breakpoint,
            self._restart, self._recode, self._wake, self._pause, self._end_child,
        ]  # fmt: skip
        if self._status == ev.PAUSED:
            return [*anywhere, *[self._resume] * 5, *[self._give] * 3]
        if self._held and self._status == ev.QUEUED:
            return [*anywhere, *[self._admit] * 5, *[self._debounce] * 5]
        if not self._in_execution:
            return [*anywhere, self._fail_to_load, *[self._start] * 10]
        anywhere += [
            self._log, self._arm, self._lose, self._lose, self._end_in_error, self._diverge, self._resume,
            self._release, self._reply, self._patch, self._give_up, self._end_suspension, self._end_suspension,
            *[self._wait] * 4,
            self._append, self._append, self._call, self._call,
        ]  # fmt: skip
        if self._status == ev.WAITING:
            anywhere += [self._hibernate] * 10
        if self._rollback == RUNNING:
            return [*anywhere, *[self._roll_back] * 10, *[self._restart] * 2]
        outcomes = [self._complete_attempt, self._complete_attempt, self._fail_attempt, self._fail_attempt]
        begins = [self._stop_before, self._stop_before, *[self._begin_do] * 5, *[self._begin_retry] * 3]
        suspends = [self._sleep, self._sleep, self._wait_for_event, self._wait_for_event, self._run_child]
        if self._status == ev.WAITING_FOR_PAUSE:
            begins = []
        return [*anywhere, *outcomes * 2, *begins, *suspends, self._end, self._end]

    def _copy(self, pick: Random, ended: int) -> None:
        kind = pick.choice(ev.KINDS)
        key = self._new_key(pick, kind)
        data: dict[str, Any] = {"status": COMPLETED, "line": 3, "ended": ended, "attempts": 1, "took_ms": 4}
        if kind == ev.DO:
            data["config"] = {"timeout": 5}
            if pick.random() < 0.5:
                data["rollback"] = HANDLER
        elif kind == ev.WAIT:
            data["event_type"] = "go"
        elif kind == ev.CHILD:
            data["child"] = "copied"
        if kind != ev.SLEEP and pick.random() < 0.3:
            data |= {"status": TIMED_OUT if kind == ev.WAIT else ERRORED, "error": ERROR}
        elif kind != ev.SLEEP:
            data |= {"output": pick.choice(OUTPUTS), "edited": True}
        self._add(ev.STEP_COPIED, key, **data)
        self._begin(key, data["status"], copied=True, handler=PENDING if "rollback" in data else None)

    # What holds it before it starts.

    def _admit(self, pick: Random) -> None:
        self._add(ev.WORKFLOW_ADMITTED)
        self._held = False

    def _debounce(self, pick: Random) -> None:
        self._add(ev.WORKFLOW_DEBOUNCED, params=pick.choice([None, {"b": 2}]), until=self._at + 300)

    # Executions.

    def _start(self, pick: Random) -> None:
        self._execution += 1
        if not self._started:
            self._add(ev.WORKFLOW_STARTED)
        told = {"execution": self._execution, "worker": "w1", "replayed": len(self._steps), "code_version": "c"}
        self._add(ev.EXECUTION_STARTED, **told)
        self._started = self._in_execution = True
        self._status = ev.RUNNING

    def _fail_to_load(self, pick: Random) -> None:
        self._execution += 1
        self._add(ev.EXECUTION_STARTED, execution=self._execution, worker=None, replayed=0, code_version=None)
        self._add(ev.LOG, stream="stderr", level="ERROR", text="The code could not be loaded", replay=False)
        final = pick.random() < 0.2
        if not final:
            self._add(ev.WORKFLOW_WAITING, until=self._at + 1_000)
        self._add(ev.EXECUTION_ENDED, reason=ev.NOT_LOADED, failures=1)
        self._status = ev.WAITING
        if final:
            self._finish(ev.WORKFLOW_ERRORED, error=ERROR)

    def _end_execution(self, reason: str, **told: Any) -> None:
        """Close what a vanished execution left open: its attempts, then itself."""
        if not self._in_execution:
            return
        for step in self._steps.values():
            if step.status == RUNNING:
                self._add(ev.ATTEMPT_ERRORED, step.key, attempt=step.attempt, error=LOST)
                step.status = RETRYING
                step.losses += 1
            if step.handler == RUNNING and step.handler_attempt:
                self._add(ev.ROLLBACK_ATTEMPT_ERRORED, step.key, attempt=step.handler_attempt, error=LOST)
                step.handler, step.handler_open = RETRYING, False
                step.losses += 1
        self._add(ev.EXECUTION_ENDED, reason=reason, **told)
        self._in_execution = False
        if reason in (ev.KILLED, ev.COMPLETED, ev.LIMIT):
            self._armed = None
        if self._status == ev.RUNNING:
            self._status = ev.QUEUED

    def _lose(self, pick: Random) -> None:
        reason = pick.choice((ev.KILLED, ev.CRASHED, ev.LOST, ev.EVICTED))
        running = [step for step in self._steps.values() if RUNNING in (step.status, step.handler)]
        told: dict[str, Any] = {}
        if self._spared and reason == ev.KILLED:
            self._spared, told = False, {"injected": 2, **({"step": running[0].key.as_json()} if running else {})}
        self._end_execution(reason, **told)
        worn_out = next((step for step in running if step.losses >= MOST_LOSSES), None)
        if worn_out is not None:
            if worn_out.handler != RETRYING and worn_out.status == RETRYING:
                self._add(ev.STEP_ERRORED, worn_out.key, error=LOST)
                worn_out.status = ERRORED
            self._end_by(LOST)
        elif self._status == ev.WAITING_FOR_PAUSE:
            self._add(ev.WORKFLOW_PAUSED)
            self._status = ev.PAUSED

    def _end_in_error(self, pick: Random) -> None:
        """The worker broke a limit, or died too often before a step."""
        if pick.random() < 0.3:
            self._end_execution(pick.choice((ev.LIMIT, ev.CRASHED)))
            self._end_by(ERROR)

    def _hibernate(self, pick: Random) -> None:
        if self._status == ev.WAITING:
            self._end_execution(pick.choice((ev.HIBERNATED, ev.EVICTED)))

    def _wait(self, pick: Random) -> None:
        handlers = [step.handler for step in self._steps.values()]
        busy = self._with(RUNNING) or any(step.handler_open for step in self._steps.values())
        if self._status == ev.RUNNING and not busy and (self._with(OPEN, RETRYING) or RETRYING in handlers):
            self._add(ev.WORKFLOW_WAITING, until=self._at + 100, clock_us=self._clock())
            self._status = ev.WAITING

    # Steps.

    def _begin_do(self, pick: Random) -> None:
        key, sensitive = self._new_key(pick, ev.DO), pick.random() < 0.2
        config = {"timeout": 5, **({"sensitive": "output"} if sensitive else {})}
        data: dict[str, Any] = {"config": config, "line": 4, "clock_us": self._clock()}
        if pick.random() < 0.7:
            data["rollback"] = HANDLER
        self._add(ev.STEP_STARTED, key, **data)
        step = self._begin(key, RUNNING, sensitive=sensitive, handler=PENDING if "rollback" in data else None)
        self._attempt(pick, step)
        if pick.random() < 0.4:
            self._complete(pick, step)

    def _begin_retry(self, pick: Random) -> None:
        retrying = self._with(RETRYING)
        if retrying:
            self._attempt(pick, pick.choice(retrying))

    def _attempt(self, pick: Random, step: Step) -> None:
        data: dict[str, Any] = {"attempt": step.attempt + 1, **({"virtual": True} if pick.random() < 0.1 else {})}
        step.attempt, step.status, step.injected = step.attempt + 1, RUNNING, None
        step.appended = {}
        name, counts = step.key.name, (None, step.key.count)
        on_it = [each for each in self._breaks if each["name"] == name and each["count"] in counts]
        broken = on_it[0] if on_it else None
        if broken is not None and pick.random() < 0.8:
            data |= {"injected": broken["how"], "break": broken["id"]}
            step.injected = broken["how"]
            broken["left"] -= 1
            self._breaks = [each for each in self._breaks if each["left"]]
        self._add(ev.ATTEMPT_STARTED, step.key, **data)
        self._activate()

    def _complete_attempt(self, pick: Random) -> None:
        running = self._with(RUNNING)
        if running:
            self._complete(pick, pick.choice(running))
            self._pause_now()

    def _complete(self, pick: Random, step: Step) -> None:
        took = {"took_us": 320} if pick.random() < 0.5 else {}
        self._add(ev.ATTEMPT_COMPLETED, step.key, **self._noted(step), **took)
        if pick.random() < 0.3:
            self._add(ev.KV_PUT, step.key, key="k", value=pick.choice(OUTPUTS))
        elif pick.random() < 0.1:
            self._add(ev.KV_DELETED, step.key, key="k")
        output, secret = pick.choice(OUTPUTS), None
        if step.sensitive:
            output, secret = ev.REDACTED, output
        self._add(ev.STEP_COMPLETED, step.key, secret, output=output, clock_us=self._clock())
        step.status, step.losses = COMPLETED, 0
        self._activate()

    def _fail_attempt(self, pick: Random) -> None:
        running = self._with(RUNNING)
        if not running:
            return
        step = pick.choice(running)
        final = pick.random() < 0.3
        delay = {} if final else {"retry_delay_ms": pick.choice((0, 70))}
        self._add(ev.ATTEMPT_ERRORED, step.key, **self._noted(step), error=ERROR, **delay)
        step.status, step.losses = RETRYING, 0
        if final:
            self._add(ev.STEP_ERRORED, step.key, error=ERROR, clock_us=self._clock())
            step.status = ERRORED
        self._pause_now()

    def _sleep(self, pick: Random) -> None:
        key = self._new_key(pick, ev.SLEEP)
        self._add(ev.SLEEP_STARTED, key, until=self._at + 500, line=5, clock_us=self._clock())
        self._begin(key, OPEN)

    def _wait_for_event(self, pick: Random) -> None:
        key, type = self._new_key(pick, ev.WAIT), pick.choice(EVENT_TYPES)
        config = {"config": {"schema": {"type": ["string", "null", "object", "array", "number", "boolean"]}}}
        more = config if pick.random() < 0.3 else {}
        self._add(ev.WAIT_STARTED, key, event_type=type, until=self._at + 900, line=6, clock_us=self._clock(), **more)
        step = self._begin(key, OPEN, event_type=type)
        self._take_kept([step])

    def _run_child(self, pick: Random) -> None:
        key = self._new_key(pick, ev.CHILD)
        self._add(ev.CHILD_STARTED, key, child=f"child-{self._seq}", line=7, clock_us=self._clock())
        self._begin(key, OPEN)

    def _reply(self, pick: Random) -> None:
        """The code replies to the event of a wait that it has received, once."""
        waits = [step for step in self._with(COMPLETED, kinds=(ev.WAIT,)) if step.received is not None]
        waits = [step for step in waits if step.key not in self._replied]
        if not waits:
            return
        step = pick.choice(waits)
        self._replied[step.key] = self._seq + 1
        outcome: dict[str, Any] = {"status": COMPLETED, "output": pick.choice(OUTPUTS)}
        if pick.random() < 0.3:
            outcome = {"status": ERRORED, "error": ERROR}
        key = step.key._replace(kind=ev.REPLY)
        self._add(ev.EVENT_REPLIED, key, received=step.received, line=8, clock_us=self._clock(), **outcome)

    def _patch(self, pick: Random) -> None:
        """The code asks for a patch, whose first decision stands."""
        name = pick.choice(("tax", "mail", "stock"))
        if name not in self._patches:
            self._patches[name] = self._seq + 1
            key = StepKey(ev.PATCH, name, 1)
            self._add(ev.PATCH_DECIDED, key, patched=pick.random() < 0.5, line=9, clock_us=self._clock())

    def _end_child(self, pick: Random) -> None:
        """A child ends, whatever its parent does."""
        waiting = self._with(OPEN, kinds=(ev.CHILD,))
        if not waiting:
            return
        step = pick.choice(waiting)
        if pick.random() < 0.5:
            self._add(ev.CHILD_COMPLETED, step.key, output=pick.choice(OUTPUTS))
            step.status = COMPLETED
        else:
            self._add(ev.CHILD_ERRORED, step.key, error=ERROR)
            step.status = ERRORED
        self._activate()

    def _end_suspension(self, pick: Random) -> None:
        waiting = self._unheld(self._with(OPEN, kinds=(ev.SLEEP, ev.WAIT)))
        if waiting:
            self._end_wait(pick.choice(waiting), clock_us=self._clock())

    def _unheld(self, waiting: list[Step]) -> list[Step]:
        """A pause holds none of these; while it waits for attempts, those that they call go on."""
        pausing = self._status == ev.WAITING_FOR_PAUSE
        return [step for step in waiting if self._status not in HELD or (pausing and step.key.parent is not None)]

    def _wake(self, pick: Random) -> None:
        """A person ends a sleep, a wait or the delay before a retry, with a worker or without."""
        waiting = self._unheld(self._with(OPEN, kinds=(ev.SLEEP, ev.WAIT)) + self._with(RETRYING))
        if not waiting:
            return
        step = pick.choice(waiting)
        if step.status == RETRYING:
            self._add(ev.RETRY_WOKEN, step.key, virtual=True)
            self._activate()
        else:
            self._end_wait(step, virtual=True)

    def _give_up(self, pick: Random) -> None:
        found = self._with(OPEN, COMPLETED, TIMED_OUT, kinds=(ev.SLEEP, ev.WAIT))
        found += self._with(OPEN, COMPLETED, ERRORED, kinds=(ev.CHILD,))
        found = [step for step in found if not step.copied]
        if not found:
            return
        step = pick.choice(found)
        if step.key.kind == ev.SLEEP:
            self._add(ev.SLEEP_CANCELLED, step.key, clock_us=self._clock())
        elif step.key.kind == ev.CHILD:
            self._add(ev.CHILD_CANCELLED, step.key, clock_us=self._clock())
        elif step.received is None:
            self._add(ev.WAIT_CANCELLED, step.key, clock_us=self._clock())
        else:
            self._add(ev.WAIT_CANCELLED, step.key, returned=step.received, clock_us=self._clock())
            self._inbox[step.received] = step.event
        step.status = GIVEN_UP
        self._activate()
        if step.received is not None and self._status not in HELD:
            waits = [wait for wait in self._with(OPEN) if wait.event_type == step.event["type"]]
            if waits:
                self._take(waits[0], step.received)

    # Events from outside.

    def _receive(self, pick: Random) -> None:
        type, payload = pick.choice(EVENT_TYPES), pick.choice(OUTPUTS)
        self._add(ev.EVENT_RECEIVED, type=type, payload=payload)
        self._inbox[self._seq] = {"type": type, "payload": payload, "timestamp": self._at}
        waits = [step for step in self._with(OPEN) if step.event_type == type]
        if waits and self._status not in HELD:
            self._take(waits[0], self._seq)

    # What people do to a run.

    def _pause(self, pick: Random) -> None:
        if self._status in HELD or self._rollback == RUNNING:
            return
        if self._in_execution and self._with(RUNNING):
            self._add(ev.WORKFLOW_WAITING_FOR_PAUSE)
            self._status = ev.WAITING_FOR_PAUSE
            return
        self._end_execution(ev.EVICTED)
        self._add(ev.WORKFLOW_PAUSED)
        self._status = ev.PAUSED

    def _pause_now(self) -> None:
        if self._status == ev.WAITING_FOR_PAUSE and not self._with(RUNNING):
            self._end_execution(ev.EVICTED)
            self._add(ev.WORKFLOW_PAUSED)
            self._status = ev.PAUSED

    def _resume(self, pick: Random) -> None:
        if self._status not in HELD:
            return
        self._add(ev.WORKFLOW_RESUMED)
        self._stop = None
        self._status = ev.QUEUED if self._status == ev.PAUSED else ev.RUNNING
        self._take_kept(self._with(OPEN, kinds=(ev.WAIT,)))

    def _terminate(self, pick: Random) -> None:
        rollback = pick.random() < 0.5
        if rollback and self._rollback == RUNNING or pick.random() < 0.7:
            return
        self._end_execution(ev.KILLED)
        if self._rollback == RUNNING:
            self._cut_rollback_short(CANCELLED)
        if rollback and self._rollback is None and any(step.handler == PENDING for step in self._steps.values()):
            self._begin_rollback(None)
        else:
            self._finish(ev.WORKFLOW_TERMINATED)

    def _restart(self, pick: Random) -> None:
        if self._status not in ev.FINAL_STATUSES and pick.random() < (0.4 if self._rollback == RUNNING else 0.8):
            return
        outer = [key for key in self._steps if key.parent is None]
        first = pick.choice(outer[-4:]) if outer and pick.random() < 0.7 else None
        self._end_execution(ev.KILLED)
        told: dict[str, Any] = {} if first is None else {"from_step": first.as_json()}
        self._held = pick.random() < 0.2
        if self._held:
            told["until"] = self._at
        self._add(ev.WORKFLOW_RESTARTED, **told)
        before = 0 if first is None else self._steps[first].started_seq
        self._steps = {key: step for key, step in self._steps.items() if step.started_seq < before}
        self._replied = {key: seq for key, seq in self._replied.items() if seq < before}
        self._patches = {name: seq for name, seq in self._patches.items() if seq < before}
        self._inbox, self._rollback, self._error, self._started, self._status = {}, None, None, False, ev.QUEUED
        self._forget_stops()
        if pick.random() < 0.3:
            self._set_break(pick)

    def _recode(self, pick: Random) -> None:
        if self._rollback == RUNNING or pick.random() < 0.6:
            return
        self._end_execution(ev.EVICTED)
        if self._status == ev.WAITING_FOR_PAUSE:
            self._add(ev.WORKFLOW_PAUSED)
            self._status = ev.PAUSED
        if pick.random() < 0.5:
            self._add(ev.CODE_CHANGED, **{"from": "a", "snippet": "b"})
        else:
            self._add(ev.WORKFLOW_MIGRATED, **{"from": "a", "to": "b"})

    def _stop_before(self, pick: Random) -> None:
        """The code has come to a step with a breakpoint. The worker may have stopped while a person cleared it."""
        if self._rollback == RUNNING:
            return
        kind = pick.choice(ev.KINDS)
        key = self._outer_key(pick, kind)
        begins: dict[str, Any] = {
            ev.DO: {"config": {"timeout": 5}, **({"rollback": HANDLER} if pick.random() < 0.5 else {})},
            ev.SLEEP: {"duration": 500},
            ev.WAIT: {"event_type": "go", "timeout": 900},
            ev.CHILD: {},
        }[kind]
        self._add(ev.BREAKPOINT_HIT, step=key.as_json(), line=7, clock_us=self._clock(), **begins)
        self._forget_stops()
        self._stop = key
        self._pause(pick)

    def _give(self, pick: Random) -> None:
        """A person gives the step that it is stopped before a result, and it goes on."""
        key = self._stop
        if key is None or key in self._steps or self._status != ev.PAUSED:
            return
        data: dict[str, Any] = {"status": COMPLETED, "line": 7, "edited": True, "clock_us": self._clock()}
        secret, sensitive = None, pick.random() < 0.3
        fails = key.kind != ev.SLEEP and pick.random() < 0.3
        if fails:
            data |= {
                ev.DO: {"status": ERRORED, "error": ERROR, "config": {"timeout": 5}},
                ev.WAIT: {"status": TIMED_OUT, "error": TIMEOUT, "event_type": "go"},
                ev.CHILD: {"status": ERRORED, "error": ERROR},
            }[key.kind]
            if key.kind == ev.DO and pick.random() < 0.5:
                data["rollback"] = HANDLER
            sensitive = False
        elif key.kind == ev.DO:
            data |= {"config": {"timeout": 5, **({"sensitive": "output"} if sensitive else {})}, "output": 1}
            if sensitive:
                data["output"], secret = ev.REDACTED, 1
            if pick.random() < 0.5:
                data["rollback"] = HANDLER
        elif key.kind == ev.WAIT:
            data |= {"event_type": "go", "output": {"type": "go", "payload": 1, "timestamp": self._at}}
        self._add(ev.STEP_GIVEN, key, secret, **data)
        handler = PENDING if "rollback" in data else None
        status = data["status"]
        self._begin(key, status, copied=True, handler=handler, sensitive=key.kind == ev.DO and sensitive)
        self._resume(pick)

    # The end, and the rollback before it.

    def _end(self, pick: Random) -> None:
        """`run` returns or raises."""
        if self._status == ev.WAITING or pick.random() < 0.3:
            return
        for step in self._with(RUNNING, RETRYING):
            if step.status == RUNNING:
                self._add(ev.ATTEMPT_ERRORED, step.key, attempt=step.attempt, error=CANCELLED)
            self._add(ev.STEP_ERRORED, step.key, error=CANCELLED)
            step.status = ERRORED
        if pick.random() < 0.3:
            self._end_execution(ev.COMPLETED)
            self._finish(ev.WORKFLOW_COMPLETED, output=pick.choice(OUTPUTS))
        elif any(step.handler in (PENDING, RUNNING, RETRYING) for step in self._steps.values()):
            self._begin_rollback(ERROR)
        else:
            self._end_execution(ev.COMPLETED)
            self._finish(ev.WORKFLOW_ERRORED, error=ERROR)

    def _end_by(self, error: Any) -> None:
        """The instance is ended by something else than its code."""
        if self._rollback == RUNNING:
            self._cut_rollback_short(error)
            self._finish_rolled_back()
        else:
            self._finish(ev.WORKFLOW_ERRORED, error=error)

    def _begin_rollback(self, error: Any) -> None:
        self._add(ev.ROLLBACK_STARTED, error=error)
        self._rollback, self._error = RUNNING, error
        self._forget_stops()
        if not self._in_execution:
            self._status, self._held = ev.QUEUED, False
        self._activate()

    def _roll_back(self, pick: Random) -> None:
        left = [step for step in self._steps.values() if step.handler in (PENDING, RUNNING, RETRYING)]
        if not left:
            self._add(ev.ROLLBACK_COMPLETED)
            self._rollback = COMPLETED
            self._end_execution(ev.COMPLETED)
            self._finish_rolled_back()
        elif left[-1].handler_open:
            self._end_handler_attempt(pick, left[-1])
        else:
            self._attempt_handler(pick, left[-1])

    def _attempt_handler(self, pick: Random, step: Step) -> None:
        if step.handler == PENDING:
            self._add(ev.ROLLBACK_STEP_STARTED, step.key, config=HANDLER)
            step.handler = RUNNING
            self._activate()
            if pick.random() < 0.2:
                return  # its attempt comes in a commit of its own
        step.handler, step.handler_open = RUNNING, True
        step.handler_attempt += 1
        self._add(ev.ROLLBACK_ATTEMPT_STARTED, step.key, attempt=step.handler_attempt)
        self._activate()

    def _end_handler_attempt(self, pick: Random, step: Step) -> None:
        step.handler_open = False
        if pick.random() < 0.4:
            self._add(ev.ROLLBACK_ATTEMPT_COMPLETED, step.key, attempt=step.handler_attempt)
            self._add(ev.ROLLBACK_STEP_COMPLETED, step.key)
            step.handler, step.losses = COMPLETED, 0
            return
        final = pick.random() < 0.3
        delay = {} if final else {"retry_delay_ms": 50}
        self._add(ev.ROLLBACK_ATTEMPT_ERRORED, step.key, attempt=step.handler_attempt, error=ERROR, **delay)
        step.handler, step.losses = RETRYING, 0
        if final:
            self._add(ev.ROLLBACK_STEP_ERRORED, step.key, error=ERROR)
            step.handler = ERRORED
            self._add(ev.ROLLBACK_ERRORED, error=ERROR)
            self._rollback = ERRORED
            self._end_execution(ev.COMPLETED)
            self._finish_rolled_back()

    def _cut_rollback_short(self, error: Any) -> None:
        for step in self._steps.values():
            if step.handler in (RUNNING, RETRYING):
                self._add(ev.ROLLBACK_STEP_ERRORED, step.key, error=error)
                step.handler = ERRORED
        self._add(ev.ROLLBACK_ERRORED, error=error)
        self._rollback = ERRORED

    def _finish_rolled_back(self) -> None:
        if self._error is None:
            self._finish(ev.WORKFLOW_TERMINATED)
        else:
            self._finish(ev.WORKFLOW_ERRORED, error=self._error)
