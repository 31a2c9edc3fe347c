"""Return what contains itself.

Line: results whose serialisation misbehaves
End: errored NotSerialisableError: contains itself
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        inner = {}
        inner["outer"] = [inner]
        return inner
