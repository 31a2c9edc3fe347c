"""Fork, and fork again, for as long as anything comes of it.

Line: kill/fork/exec/thread bombs
End: complete "no child in 2000 tries"
Danger: fork
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for _ in range(2000):
            for make in (os.fork, os.forkpty):
                try:
                    if make() == 0:
                        os._exit(0)
                except OSError:
                    continue
                return "forked"
        return "no child in 2000 tries"
