"""Recurse for ever, at the usual depth.

Line: recursion
End: errored RecursionError
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        def deeper():
            return deeper()

        return deeper()
