"""Compute for ever inside one call into C, where Python itself never gets to look at anything.

Line: busy loops
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return sum(range(10**13))
