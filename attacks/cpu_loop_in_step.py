"""Compute for ever inside a step, so that the limit must name it.

Line: busy loops
End: errored LimitExceeded: while step "spin" ran
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("spin")
        async def spin():
            while True:
                pass

        await spin()
