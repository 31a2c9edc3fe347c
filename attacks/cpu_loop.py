"""Compute for ever outside any step.

Line: busy loops
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        while True:
            pass
