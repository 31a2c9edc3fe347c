"""Print one character at a time and flush each, as fast as it can: each might become an event of the journal.

Line: stdout flood
End: errored LimitExceeded
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        while True:
            print(".", end="", flush=True)
