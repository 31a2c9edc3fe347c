"""Fail with large errors, without delay, ten thousand times.

Line: exceptions whose __str__ misbehaves
End: errored LimitExceeded
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("fail", config={"retries": {"limit": 10_000, "delay": 0, "backoff": "constant"}})
        async def fail():
            raise ValueError("x" * 9_000, "y" * 9_000)

        await fail()
