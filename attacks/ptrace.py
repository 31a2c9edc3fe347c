"""Trace its parent, have itself traced, and read or write another's memory.

Line: ptrace
End: complete []
"""

import ctypes
import os

from workers import WorkflowEntrypoint

TRACEME, ATTACH, SEIZE = 0, 16, 0x4206
READV, WRITEV, KCMP, PIDFD_GETFD, PROCESS_MADVISE = 310, 311, 312, 438, 440


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = libc.ptrace.restype = ctypes.c_long
        parent = os.getppid()
        done = []
        for request in (TRACEME, ATTACH, SEIZE):
            for target in (parent, 1, 0):
                if libc.ptrace(ctypes.c_long(request), ctypes.c_long(target), None, None) >= 0:
                    done.append([request, target])
        space = ctypes.create_string_buffer(64)
        for call in (READV, WRITEV, KCMP, PIDFD_GETFD, PROCESS_MADVISE):
            if libc.syscall(call, parent, space, 1, space, 1, 0) >= 0:
                done.append(call)
        return done
