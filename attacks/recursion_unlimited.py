"""Lift the interpreter's limit and recurse through C until its stack overflows.

Line: recursion
End: errored WorkerLostRepeatedly|MemoryError|RecursionError
"""

import sys

from workers import WorkflowEntrypoint


class Deep:
    def __repr__(self):
        return repr([self])


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        sys.setrecursionlimit(2**31 - 1)
        return repr(Deep())
