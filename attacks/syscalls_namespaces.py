"""Leave or remake its world: namespaces, mounts, roots, host name, clock, reboot.

Line: raw and unknown system calls
End: complete []
Danger: machine
"""

import ctypes
import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        ways = {
            "unshare": lambda: libc.unshare(0x10000000),
            "unshare everything": lambda: libc.unshare(0x7E020000),
            "setns": lambda: libc.setns(3, 0),
            "mount": lambda: libc.mount(b"proc", b"/proc", b"proc", 0, None),
            "umount": lambda: libc.umount2(b"/", 2),
            "pivot_root": lambda: libc.syscall(155, b"/", b"/"),
            "sethostname": lambda: libc.sethostname(b"x", 1),
            "swapoff": lambda: libc.swapoff(b"/dev/sda"),
        }
        done = [name for name, way in ways.items() if way() >= 0]
        for name, way in {
            "chroot": lambda: os.chroot("/"),
            "settime": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
            "setuid": lambda: os.setuid(0),
            "setgroups": lambda: os.setgroups([0]),
            "setsid": lambda: os.setsid(),
            "setpgid": lambda: os.setpgid(0, 0),
        }.items():
            try:
                way()
                done.append(name)
            except OSError:
                pass
        return done
