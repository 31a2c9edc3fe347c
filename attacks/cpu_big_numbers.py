"""Compute one enormous power, which cannot be interrupted.

Line: busy loops
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        base, exponent = 7, 60_000_000
        return (base**exponent) % 1_000_003
