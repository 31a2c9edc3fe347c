"""Do steps for as long as there are any.

Line: busy loops
End: errored LimitExceeded|WorkflowFatalError: limit
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        while True:
            await step.do("again", lambda: None)
