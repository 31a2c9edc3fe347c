"""The saga that tests of rollback play: what it notes when it is undone, and how its handlers stand."""

SAGA = """
def undo(name):
    async def handler(info):
        LEDGER.note((name, info["output"], type(info["error"]).__name__, info["ctx"]["step"]["name"], info.ctx.attempt))
        if name in event.payload.get("failing", ()):
            raise LookupError(f"{name} can't be undone")
        if name in event.payload.get("slow", ()):
            await asyncio.sleep(60)
    return handler
once = {"retries": {"limit": 0, "delay": 1}}
def fail():
    raise ValueError("the failure")
one = await step.do("one", lambda: "output of one", rollback=undo("one"), rollback_config=once)
await step.do("plain", lambda: "no handler")
two = await step.do("two", lambda: "output of two", rollback=undo("two"), rollback_config=once)
if event.payload.get("wait"):
    await step.wait_for_event("w", "go")
await step.do("three", fail, config=once, rollback=undo("three"), rollback_config=once)
"""
THREE = ("three", None, "ValueError", "three", 1)
TWO = ("two", "output of two", "ValueError", "two", 1)
ONE = ("one", "output of one", "ValueError", "one", 1)


def handlers(state):
    """How it stands with the handler of each step; None for a step without."""
    return [step.rollback and step.rollback.status for step in state.steps.values()]


def undoing_two(state):
    """How many attempts the handler of step two has had."""
    return (
        next(
            (len(step.rollback.attempts) for key, step in state.steps.items() if str(key) == "two-1" and step.rollback),
            0,
        )
        or None
    )
