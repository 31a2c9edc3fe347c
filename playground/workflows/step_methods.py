"""What to write for names that `step` lacks: JavaScript's spelling, other words, Cloudflare's older rollback."""

import difflib

METHODS = ("do", "sleep", "sleep_until", "wait_for_event")
MEANT = {
    "sleepUntil": "sleep_until",
    "waitForEvent": "wait_for_event",
    "run": "do",
    "wait": "wait_for_event",
    "wait_until": "sleep_until",
}
INSTEAD = {
    "with_rollback": "Give the step its handler: `step.do(name, rollback=undo)`; it gets `ctx`, `error` and `output`.",
    "rollback_all": "Handlers that steps have as `rollback=` run by themselves when the run fails.",
}


def meant(name: str) -> str | None:
    """The method that is probably meant by a name that is none."""
    near = difflib.get_close_matches(name, METHODS, n=1)
    return MEANT.get(name) or (near[0] if near and name not in INSTEAD else None)


def advice(name: str) -> str:
    """One sentence for whoever wrote `step.name`."""
    method = meant(name)
    return INSTEAD.get(name) or (f"Did you mean `{method}`?" if method else f"It has {', '.join(METHODS)}.")
