"""Match a regular expression that backtracks for ever.

Line: busy loops
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

import re

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return bool(re.match(r"(a+)+$", "a" * 64 + "b"))
