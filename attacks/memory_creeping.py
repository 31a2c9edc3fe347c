"""Take memory a little at a time, touch it, and go on when there is no more.

Line: memory bombs
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        held = []
        while True:
            try:
                held.append(bytearray(b"x" * 65_536))
            except MemoryError:
                pass
