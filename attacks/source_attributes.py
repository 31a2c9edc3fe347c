"""Have the compiler recurse through a chain of thirty thousand attributes.

Line: a source bomb
Append: 1 "def never(): return x"
Append: 30000 ".a"
Append: 1 "\n"
End: refused 422
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
