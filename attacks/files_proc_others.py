"""Count the host's processes and look for the server's command line and environment.

Line: host file and /proc reads
End: complete []
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        found = []
        for number in range(1, 4000):
            for what in ("cmdline", "environ", "stat"):
                try:
                    with open(f"/proc/{number}/{what}", "rb"):
                        found.append(number)
                except OSError:
                    pass
        for folder in ("/proc", "/sys", "/proc/sys/kernel", "/sys/fs/cgroup"):
            try:
                found += os.listdir(folder)
            except OSError:
                pass
        return found
