"""Make system calls by the x32 numbers, which mean the same calls to the kernel and others to a careless filter.

Line: int 0x80 and x32
End: errored WorkerLostRepeatedly
"""

import ctypes

from workers import WorkflowEntrypoint

X32 = 0x40000000


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        return [number for number in (39, 57, 59, 62) if libc.syscall(ctypes.c_long(X32 + number), 0, 0, 0) >= 0]
