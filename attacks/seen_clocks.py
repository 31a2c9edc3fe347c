"""Watch others by the clocks that count their processor time, and find out by number which processes there are.

Line: host file and /proc reads
End: complete []
"""

import ctypes
import os
import time

from workers import WorkflowEntrypoint

PROCESSES = range(1, 3_000)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        own = os.getpid()
        seen = set()
        libc = ctypes.CDLL(None, use_errno=True)
        for number in PROCESSES:
            if number == own:
                continue
            for clock in (~number << 3 | 2, ~number << 3 | 6, ~number << 3, ~number << 3 | 1):
                for name, look in {"time": time.clock_gettime_ns, "resolution": time.clock_getres}.items():
                    try:
                        look(clock)
                        seen.add(f"processor {name}")
                    except OSError:
                        pass
                if libc.clock_nanosleep(clock, 0, (ctypes.c_long * 2)(0, 1), None) == 0:
                    seen.add("waited for its processor time")
            for name, look in {
                "group": lambda: os.getpgid(number),
                "session": lambda: os.getsid(number),
                "affinity": lambda: os.sched_getaffinity(number),
                "scheduler": lambda: os.sched_getscheduler(number),
                "priority": lambda: os.getpriority(os.PRIO_PROCESS, number),
            }.items():
                try:
                    look()
                    seen.add(name)
                except OSError:
                    pass
        return sorted(seen)
