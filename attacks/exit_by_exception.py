"""End by the exceptions that usually end a program.

Line: exits without result
End: errored SystemExit
"""

import sys

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        sys.exit("bye")
