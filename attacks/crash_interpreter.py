"""Break the interpreter's own objects, then abort.

Line: null dereference
End: errored WorkerLostRepeatedly
"""

import ctypes
import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        ctypes.memset(id(type), 0, 64)
        ctypes.memset(id(None), 255, 16)
        os.abort()
