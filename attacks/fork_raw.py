"""Make a process by the raw calls: fork, vfork, clone with every flag, clone3.

Line: kill/fork/exec/thread bombs
End: complete []
Danger: fork
"""

import ctypes
import os

from workers import WorkflowEntrypoint

CLONE, FORK, VFORK, CLONE3, SIGCHLD = 56, 57, 58, 435, 17


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        own = os.getpid()
        request = ctypes.create_string_buffer(88)
        calls = [(FORK,), (VFORK,), (CLONE3, request, ctypes.c_long(88))]
        calls += [(CLONE, SIGCHLD | 1 << bit, 0, 0, 0, 0) for bit in range(10, 32) if 1 << bit != 0x100 << 6]
        made = []
        for call in calls:
            if libc.syscall(*call) >= 0:
                if os.getpid() != own:
                    os._exit(0)
                made.append(call[0])
        return made
