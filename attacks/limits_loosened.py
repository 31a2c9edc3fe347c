"""Loosen its own limits and tighten others': rlimits, priority, affinity, memory's fate, what binds it to its parent.

Line: loosened limits
End: complete []
"""

import ctypes
import os
import resource

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
        done = []
        for name in names:
            limit = getattr(resource, name)
            for way in (
                lambda: resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
                lambda: resource.setrlimit(limit, resource.getrlimit(limit)),
                lambda: resource.prlimit(os.getppid(), limit, (0, 0)),
            ):
                try:
                    way()
                    done.append(name)
                except (OSError, ValueError):
                    pass
        for name, way in {
            "nice": lambda: os.nice(-10),
            "priority": lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
            "real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
            "affinity": lambda: os.sched_setaffinity(0, {0}),
            "the parent's affinity": lambda: os.sched_setaffinity(os.getppid(), {0}),
        }.items():
            try:
                way()
                done.append(name)
            except OSError:
                pass
        for option in (1, 4, 8, 22, 23, 24, 28, 47):
            if libc.prctl(option, 1, 0, 0, 0) >= 0:
                done.append(f"prctl {option}")
        return done
