"""Hold its worker for ever by saying something now and then, without ever getting anywhere.

Line: sleeping for ever
End: errored LimitExceeded: not answering: nothing was heard of the worker for
"""

import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        while True:
            print("still busy")
            time.sleep(0.2)
