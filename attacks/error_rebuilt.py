"""Store an error in a step and make raising it again misbehave: a constructor that never returns.

Line: exceptions whose __str__ misbehaves
End: complete "caught"
"""

from workers import WorkflowEntrypoint


class Hostile(Exception):
    def __new__(cls, *arguments):
        return object.__new__(int) if arguments and arguments[0] == "rebuilt" else super().__new__(cls, *arguments)

    def __reduce__(self):
        raise SystemExit("no")

    def __setattr__(self, name, value):
        raise SystemExit("no")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("fail", config={"retries": {"limit": 0, "delay": 0}})
        async def fail():
            raise Hostile("x" * 100)

        try:
            await fail()
        except BaseException:
            return "caught"
