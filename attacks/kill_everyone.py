"""Signal its parent, process 1, its group, its neighbours and every process there is.

Line: kill/fork/exec/thread bombs
End: complete []
Danger: signal
"""

import os
import signal

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        own = os.getpid()
        hit = []
        for target in (os.getppid(), 1, 0, -1, -os.getpgrp(), -os.getppid(), *range(2, 200)):
            if target == own:
                continue
            for number in (signal.SIGKILL, signal.SIGSTOP, 0):
                try:
                    os.kill(target, number)
                    hit.append([target, number])
                except OSError:
                    pass
        return hit
