"""Make every system call number that this filter's author may not have heard of.

Line: raw and unknown system calls
End: complete []
"""

import ctypes

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        numbers = (*range(440, 2000), 0xFFFF, 0x3FFFFFFF, -1)
        return [number for number in numbers if libc.syscall(ctypes.c_long(number), -1, 0, 0, 0, 0, 0) >= 0]
