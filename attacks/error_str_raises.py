"""Fail with an exception that cannot be shown: `__str__`, `__repr__` and `__class__` raise.

Line: exceptions whose __str__ misbehaves
End: errored Hostile: could not be read
"""

from workers import WorkflowEntrypoint


class Hostile(Exception):
    def __str__(self):
        raise SystemExit("no")

    def __repr__(self):
        raise KeyboardInterrupt

    @property
    def __class__(self):
        raise RuntimeError("no class")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        raise Hostile()
