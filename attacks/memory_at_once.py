"""Ask for a terabyte at once.

Line: memory bombs
End: errored MemoryError
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return len(bytearray(1 << 40))
