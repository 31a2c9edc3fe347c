"""Compute for ever while the module is loaded, before there is a workflow.

Line: busy loops
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

from workers import WorkflowEntrypoint

while True:
    pass


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
