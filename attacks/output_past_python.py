"""Write to the descriptors of stdout and stderr themselves, past the interpreter's own streams.

Line: stdout flood
End: complete "written"
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for _ in range(1_000):
            os.write(1, b"x" * 65_536)
            os.write(2, b"\x1b]0;owned\x07" * 1_000)
        return "written"
