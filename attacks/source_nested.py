"""Have the parser go down sixty thousand brackets.

Line: a source bomb
Append: 30000 "("
Append: 30000 ")"
End: refused 422
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
