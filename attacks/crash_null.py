"""Read from address zero.

Line: null dereference
End: errored WorkerLostRepeatedly
"""

import ctypes

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        ctypes.string_at(0)
