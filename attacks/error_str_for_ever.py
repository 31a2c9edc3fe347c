"""Fail with an exception whose `__str__` never returns.

Line: exceptions whose __str__ misbehaves
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

from workers import WorkflowEntrypoint


class Hostile(Exception):
    def __str__(self):
        while True:
            pass


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        raise Hostile()
