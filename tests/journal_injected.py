"""What people inject into a run of the model of legal journals (journal_model.py): breaks, breakpoints, armed
kills, skipped sleeps.
"""

from random import Random

from journal_parts import NAMES, Instance

from playground.workflows import events as ev


class Injected(Instance):
    """An instance and what is set in it on purpose."""

    def _set_break(self, pick: Random) -> None:
        name, count, times = pick.choice(NAMES), pick.choice((None, 1, 2)), pick.randrange(1, 3)
        how, more = pick.choice((("fail", {}), ("timeout", {}), ("slow", {"ms": 5}), ("return", {"value": 1})))
        step = {"kind": ev.DO, "name": name, **({} if count is None else {"count": count})}
        self._add(ev.BREAK_SET, step=step, how=how, times=times, **more)
        self._breaks = [each for each in self._breaks if (each["name"], each["count"]) != (name, count)]
        self._breaks.append({"id": self._seq, "name": name, "count": count, "how": how, "left": times})

    def _clear_break(self, pick: Random) -> None:
        if self._breaks:
            broken = self._breaks.pop(pick.randrange(len(self._breaks)))
            count = {} if broken["count"] is None else {"count": broken["count"]}
            self._add(ev.BREAK_CLEARED, step={"kind": ev.DO, "name": broken["name"], **count})

    def _set_breakpoint(self, pick: Random) -> None:
        step = pick.choice(({}, {"name": pick.choice(NAMES)}, {"kind": ev.DO, "name": "a", "count": 2}))
        once = {"once": True} if not step or pick.random() < 0.3 else {}
        if {"step": step, **once} not in self._breakpoints:
            self._add(ev.BREAKPOINT_SET, step=step, **once)
            self._breakpoints.append({"step": step, **once})

    def _clear_breakpoint(self, pick: Random) -> None:
        if self._breakpoints:
            cleared = self._breakpoints.pop(pick.randrange(len(self._breakpoints)))
            self._add(ev.BREAKPOINT_CLEARED, **cleared)

    def _arm(self, pick: Random) -> None:
        when = pick.choice(("during-step", "before-commit"))
        if when != self._armed:
            self._add(ev.KILL_ARMED, when=when)
            self._armed = when

    def _skip_sleeps(self, pick: Random) -> None:
        self._add(pick.choice((ev.SLEEPS_SKIPPED, ev.SLEEPS_KEPT)))

    def _tag(self, pick: Random) -> None:
        self._add(ev.WORKFLOW_TAGGED, tags=pick.choice((["order-7"], ["order-7", "eu"], ["vip"])))

    def _disarm(self, pick: Random) -> None:
        if self._armed is not None:
            self._add(ev.KILL_DISARMED)
            self._armed = None
