"""Sleep for no time, for ever: sleeps do not count as steps.

Line: busy loops
End: errored LimitExceeded
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        while True:
            await step.sleep("no time", 0)
