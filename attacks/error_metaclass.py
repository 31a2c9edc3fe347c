"""Fail with a class whose metaclass lies about its name and its ancestors.

Line: exceptions whose __str__ misbehaves
End: errored Hostile
"""

from workers import WorkflowEntrypoint


class Meta(type):
    @property
    def __name__(cls):
        raise SystemExit("no name")

    def __instancecheck__(cls, other):
        raise SystemExit("no check")

    def mro(cls):
        return [cls, *BaseException.mro()]


class Hostile(BaseException, metaclass=Meta):
    pass


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        raise Hostile("x")
