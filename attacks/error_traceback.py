"""Fail with a traceback that has no end, frames of the far end of a file and names that steer a terminal.

Line: exceptions whose __str__ misbehaves
End: errored LimitExceeded|Hostile
"""

import linecache

from workers import WorkflowEntrypoint


def bent():
    raise Hostile("bent")


class Endless:
    def __init__(self, inner):
        self.tb_frame, self.tb_lineno, self.tb_lasti, self.tb_next = inner.tb_frame, 2**31 - 1, -1, self


class Hostile(Exception):
    @property
    def __traceback__(self):
        return Endless(BaseException.__traceback__.__get__(self))

    @property
    def __context__(self):
        raise SystemExit("no context")

    __cause__ = __suppress_context__ = __notes__ = __context__


bent.__code__ = bent.__code__.replace(
    co_name="\x1b[2J</script>\u202e" * 100, co_qualname="\ud800", co_firstlineno=2**31 - 100, co_filename="workflow.py"
)
linecache.cache["workflow.py"] = (1, None, ["\x1b]0;owned\x07" * 1_000_000] * 3, "workflow.py")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        try:
            await step.do("bent", bent, config={"retries": {"limit": 0, "delay": 0}})
        except Exception:
            pass
        bent()
