"""Put /dev/null where the channel was, so that nothing it says or is told arrives.

Line: inherited fds
End: errored LimitExceeded: protocol: the worker closed its channel and lived on
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        os.dup2(0, 3)
        while True:
            time.sleep(1)
