"""Hide code behind null bytes, form feeds and a foreign encoding.

Line: a source bomb
Append: 1 "# coding: utf-7\n\u0000\u000c\u001a\nimport os\u0000\n"
End: refused 422
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
