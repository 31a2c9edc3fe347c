"""Learn what goes on outside by what the kernel tells of the machine: load, free memory, processes, free disk,
descriptions it shares with others.

Line: host file and /proc reads
End: complete []
"""

import ctypes
import fcntl
import os
import struct

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        told = []
        for name, ask in {
            "load": os.getloadavg,
            "disk": lambda: os.statvfs(os.path.dirname(os.__file__)),
            "disk of an open file": lambda: os.fstatvfs(os.open(os.__file__, os.O_RDONLY)),
            "open files": lambda: open("/proc/sys/fs/file-nr").read(),
            "flags": lambda: fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_APPEND),
            "blocking": lambda: fcntl.ioctl(os.dup(1), 0x5421, struct.pack("i", 1)),
            "ioctl": lambda: os.set_blocking(2, False),
        }.items():
            try:
                ask()
                told.append(name)
            except OSError:
                pass
        if libc.sysinfo(ctypes.create_string_buffer(256)) == 0:
            told.append("sysinfo")
        return told
