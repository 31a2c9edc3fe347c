"""Leave something behind in the one thing that is shared with nobody, its working directory and file mode mask.

Line: poison left for the next tenant
End: complete []
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        done = []
        for name, way in {
            "chdir": lambda: os.chdir(os.path.dirname(os.__file__)),
            "umask": lambda: os.umask(0o777),
            "flock": lambda: __import__("fcntl").flock(os.open(os.__file__, os.O_RDONLY), 2),
            "sched": lambda: os.sched_setparam(0, os.sched_param(0)),
            "lockf": lambda: __import__("fcntl").lockf(os.open(os.__file__, os.O_RDONLY), 1),
        }.items():
            try:
                way()
                done.append(name)
            except OSError:
                pass
        return done
