"""Read through /proc what its own process inherited: environment, memory map, open files, namespaces.

Line: host file and /proc reads
End: complete []
"""

import os
import sys

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        found = []
        for who in ("self", "thread-self", str(os.getpid()), str(os.getppid()), "1"):
            for what in ("environ", "maps", "mem", "cmdline", "root/etc/passwd", "fd", "ns", "status", "exe", "cgroup"):
                path = f"/proc/{who}/{what}"
                for look in (lambda: open(path, "rb").read(1), lambda: os.listdir(path), lambda: os.readlink(path)):
                    try:
                        if look() != sys.executable:  # which is known inside
                            found.append(path)
                    except OSError:
                        pass
        return found
