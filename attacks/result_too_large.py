"""Return more than a result may hold.

Line: results whose serialisation misbehaves
End: errored NotSerialisableError: limit is
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return "x" * 1_100_000
