"""Crash inside a step, so that each new worker runs into it again.

Line: null dereference
End: errored WorkerLostRepeatedly: while step "crash" ran
"""

import ctypes

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("crash")
        async def crash():
            ctypes.memset(0, 0, 1)

        await crash()
