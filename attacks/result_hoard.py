"""Store megabyte after megabyte.

Line: results whose serialisation misbehaves
End: errored LimitExceeded: storage: the instance holds more than
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        text = "x" * 1_000_000
        while True:
            await step.do("hoard", lambda: text)
