"""End the process without a word.

Line: exits without result
End: errored WorkerLostRepeatedly
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        os._exit(0)
