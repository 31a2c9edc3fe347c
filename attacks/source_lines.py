"""Give the lint sixty thousand lines to look at.

Line: a source bomb
Append: 15000 "a\n;\n"
End: refused 422
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
