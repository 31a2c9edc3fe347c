"""Use up every descriptor there is and keep them.

Line: fd exhaustion
End: complete "few"
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        held = []
        try:
            while True:
                held.append(os.open(os.__file__, os.O_RDONLY))
        except OSError:
            pass
        count = len(held)
        return "few" if count <= 32 else count
