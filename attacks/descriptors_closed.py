"""Close every descriptor it has, the channel too, and live on.

Line: inherited fds
End: errored LimitExceeded: protocol: the worker closed its channel and lived on
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        os.closerange(0, 64)
        while True:
            time.sleep(1)
