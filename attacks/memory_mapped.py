"""Take memory past the interpreter, by mmap and by C's own allocator, and touch every page.

Line: memory bombs
End: complete "bounded"
"""

import ctypes
import mmap

from workers import WorkflowEntrypoint

CHUNK = 1 << 20
MOST = 200


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None)
        libc.malloc.restype = ctypes.c_void_p
        libc.malloc.argtypes = (ctypes.c_size_t,)
        held = []
        for _ in range(MOST):
            try:
                area = mmap.mmap(-1, CHUNK)
            except (OSError, ValueError, MemoryError):
                break
            area[:] = b"x" * CHUNK
            held.append(area)
        taken = 0
        while taken < MOST:
            address = libc.malloc(CHUNK)
            if not address:
                break
            ctypes.memset(address, 1, CHUNK)
            taken += 1
        total = len(held) + taken
        held.clear()
        return "bounded" if total < MOST else total
