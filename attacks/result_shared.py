"""Return a small thing that is a billion things when written out.

Line: results whose serialisation misbehaves
End: errored LimitExceeded|MemoryError
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        bomb = "lol" * 10
        for _ in range(30):
            bomb = [bomb] * 10
        return bomb
