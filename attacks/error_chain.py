"""Fail with causes in a circle, a group of groups, and a traceback of a hundred thousand frames.

Line: exceptions whose __str__ misbehaves
End: errored ExceptionGroup|RecursionError
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        group = ExceptionGroup("group", [first, second])
        for _ in range(5_000):
            group = ExceptionGroup("group", [group] * 8)
        raise group
