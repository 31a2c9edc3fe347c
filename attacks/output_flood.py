"""Print as fast as it can, for ever.

Line: stdout flood
End: errored LimitExceeded
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        line = "flood " * 1_000
        while True:
            print(line)
