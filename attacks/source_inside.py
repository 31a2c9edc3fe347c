"""Compile bombs inside, where only this worker has to bear them.

Line: a source bomb
End: errored WorkerLostRepeatedly|MemoryError|RecursionError|SyntaxError|LimitExceeded
"""

import ast

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        ast.literal_eval("-" * 3_000_000 + "1")
        compile("(" * 3_000_000, "bomb", "eval")
