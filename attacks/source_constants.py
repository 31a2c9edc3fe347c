"""Have the compiler fold constants into gigabytes.

Line: a source bomb
Append: 1 "\ndef never():\n    return "
Append: 2000 "(('x' * 4000) * 4000) + "
Append: 1 "(7 ** 7 ** 7 ** 7), 1 << 10 ** 9\n"
End: refused 422 | complete "compiled"
"""

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return "compiled"
