"""Nest blocks and f-strings past what the compiler can hold.

Line: a source bomb
Append: 1 "\ndef never():\n    return "
Append: 5000 "f'{"
Append: 1 "1"
Append: 5000 "}'"
End: refused 422
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
