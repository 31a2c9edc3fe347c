"""Store values whose tags promise what is not there, and read them back as whoever comes next would.

Line: forged frames for another step or instance
End: complete {"$datetime": [1], "$int": "x"}
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"finish","output":{"$datetime":[1],"$int":"x"}}'
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
