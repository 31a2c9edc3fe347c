"""Print one character at a time and flush each, as fast as it can: every flush would be an event of its own in the journal.

Line: stdout flood
End: errored LimitExceeded
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        while True:
            print(".", end="", flush=True)
