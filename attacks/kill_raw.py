"""Signal by the other calls: tkill, tgkill, queued signals, pidfds, timers that go off elsewhere, an owner of a
descriptor.

Line: kill/fork/exec/thread bombs
End: complete []
Danger: signal
"""

import ctypes
import fcntl
import os
import signal

from workers import WorkflowEntrypoint

TKILL, TGKILL, RT_SIGQUEUEINFO, RT_TGSIGQUEUEINFO, PIDFD_SEND_SIGNAL, TIMER_CREATE, PIDFD_OPEN = (
    200,
    234,
    129,
    297,
    424,
    222,
    434,
)
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        parent = os.getppid()
        nothing = ctypes.create_string_buffer(128)
        calls = {
            "tkill": (TKILL, parent, 0),
            "tgkill": (TGKILL, parent, parent, 0),
            "rt_sigqueueinfo": (RT_SIGQUEUEINFO, parent, 10, nothing),
            "rt_tgsigqueueinfo": (RT_TGSIGQUEUEINFO, parent, parent, 10, nothing),
            "pidfd_open": (PIDFD_OPEN, parent, 0),
            "pidfd_send_signal": (PIDFD_SEND_SIGNAL, 3, 0, None, 0),
            "timer_create": (TIMER_CREATE, 0, None, nothing),
        }
        hit = [name for name, call in calls.items() if libc.syscall(*call) >= 0]
        for command in (F_SETOWN, F_SETSIG, F_SETOWN_EX):
            try:
                fcntl.fcntl(3, command, parent)
                hit.append(f"fcntl {command}")
            except OSError:
                pass
        signal.alarm(1)  # says nothing when it is refused; where it is not, it ends this worker in the sleep below
        try:
            signal.setitimer(signal.ITIMER_REAL, 1)
            hit.append("a timer")
        except OSError:
            pass
        await step.sleep("long enough for an alarm", "1 second")
        return hit
