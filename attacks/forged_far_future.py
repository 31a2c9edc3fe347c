"""Sleep until a time that no calendar has.

Line: forged frames for another step or instance
End: errored LimitExceeded
"""

import os
import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        data = b'{"op":"sleep","step":["sleep","far",1],"until":99999999999999999999999999}'
        os.write(3, len(data).to_bytes(4, "big") + data)
        time.sleep(1_000)
