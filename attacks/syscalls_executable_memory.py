"""Bring code along: memory that is written and then run, by every call that makes such memory.

Line: raw and unknown system calls
End: complete []
"""

import ctypes
import mmap
import os

from workers import WorkflowEntrypoint

READ, WRITE, EXECUTE = 1, 2, 4


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        made = []
        for protection in (WRITE | EXECUTE, READ | WRITE | EXECUTE, EXECUTE, READ | EXECUTE):
            try:
                mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, protection)
                made.append(f"mmap {protection}")
            except (OSError, ValueError):
                pass
        page = ctypes.create_string_buffer(8192)
        start = ctypes.c_void_p((ctypes.addressof(page) + 4095) // 4096 * 4096)
        for protection in (READ | EXECUTE, READ | WRITE | EXECUTE):
            if libc.mprotect(start, ctypes.c_size_t(4096), protection) == 0:
                made.append(f"mprotect {protection}")
            if libc.syscall(329, start, ctypes.c_size_t(4096), protection, -1) == 0:
                made.append(f"pkey_mprotect {protection}")
        if libc.prctl(35, 0, 0, 0, 0) == 0 or libc.personality(0x0400000) != -1:
            made.append("READ_IMPLIES_EXEC")
        try:
            os.memfd_create("code")
            made.append("memfd")
        except OSError:
            pass
        return made
