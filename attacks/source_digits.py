"""Have the parser read an integer of fifty thousand digits.

Line: a source bomb
Append: 1 "\nnever = "
Append: 50000 "9"
Append: 1 "\n"
End: refused 422
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
