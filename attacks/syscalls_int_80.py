"""Enter the kernel by int 0x80, whose call numbers a 64-bit filter would misread.

Line: int 0x80 and x32
End: errored WorkerLostRepeatedly
"""

import ctypes

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None)
        for known in (libc.getpid, ctypes.pythonapi.PyErr_Occurred, libc.malloc):
            start = ctypes.cast(known, ctypes.c_void_p).value
            found = ctypes.string_at(start, 600_000).find(b"\xcd\x80")
            if found >= 0:
                ctypes.CFUNCTYPE(ctypes.c_long)(start + found)()
        ctypes.string_at(0)
        return "lived on"
