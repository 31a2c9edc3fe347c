"""Have the compiler recurse through sixty thousand minus signs.

Line: a source bomb
Append: 60000 "-"
Append: 1 "1\n"
End: refused 422
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
