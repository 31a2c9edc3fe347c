"""Open devices: memory, disks, the kernel's log, terminals.

Line: host file and /proc reads
End: complete []
"""

import os

from workers import WorkflowEntrypoint

DEVICES = (
    "mem",
    "kmem",
    "port",
    "kmsg",
    "sda",
    "vda",
    "nvme0n1",
    "tty",
    "console",
    "ptmx",
    "pts/0",
    "fuse",
    "kvm",
    "net/tun",
    "loop0",
)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        opened = []
        for device in DEVICES:
            for flags in (os.O_RDONLY, os.O_RDWR, os.O_PATH):
                try:
                    os.close(os.open(f"/dev/{device}", flags))
                    opened.append(device)
                except OSError:
                    pass
        return opened
