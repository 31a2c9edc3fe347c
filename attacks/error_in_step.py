"""Fail a step with an exception that no handler is meant to catch.

Line: exceptions whose __str__ misbehaves
End: errored GeneratorExit|Hostile|LimitExceeded|CancelledError
"""

from workers import WorkflowEntrypoint


class Hostile(BaseException):
    pass


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("fail", config={"retries": {"limit": 0, "delay": 0}})
        async def fail():
            raise Hostile("not an Exception")

        await fail()
