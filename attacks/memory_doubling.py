"""Double a list until nothing is left.

Line: memory bombs
End: errored MemoryError
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        held = [0]
        while True:
            held += held
