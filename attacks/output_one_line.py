"""Print one line of fifty million characters, and another without an end.

Line: stdout flood
End: errored LimitExceeded|MemoryError
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        print("x" * 50_000_000)
        while True:
            print("y" * 100_000, end="")
