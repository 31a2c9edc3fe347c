"""Print what would steer a terminal, forge a line of a log or run in a page.

Line: stdout flood
End: complete "printed"
"""

import logging
import sys

from workers import WorkflowEntrypoint

TEXTS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m\x1b[6n",
    "2026-01-01T00:00:00Z sandbox.tier tier=D\r\n2026-01-01T00:00:00Z failed",
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "\u202etxt.exe\u2066 \x00 \x7f \x9b31m \ud800 \U0010ffff \ufeff",
    "data: {}\n\nevent: end\ndata: {}\n\n",
)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for text in TEXTS:
            print(text)
            print(text, file=sys.stderr)
            logging.warning("%s", text)
        return "printed"
