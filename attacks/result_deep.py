"""Return a list in a list in a list, a hundred thousand times.

Line: results whose serialisation misbehaves
End: errored NotSerialisableError: nested
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        deep = []
        for _ in range(100_000):
            deep = [deep]
        return deep
