"""Say an unknown word, and words of other conversations: a check's answer, the probe's.

Line: malformed, oversized, nested, huge-integer, surrogate and NaN frames
End: errored LimitExceeded: protocol: the worker sent a frame that is out of place (Probed)
"""

import json
import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for frame in (
            {"op": "probed", "results": {}},
            {"op": "shutdown"},
            {"op": "checked", "diagnostics": [], "outline": []},
        ):
            data = json.dumps(frame).encode()
            os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
