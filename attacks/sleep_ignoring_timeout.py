"""Block inside a step with a short timeout, so that it can't be cancelled and never answers.

Line: sleeping for ever
End: errored WorkflowTimeoutError: Execution timed out after 200ms
"""

import time

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("block", config={"timeout": 200, "retries": {"limit": 0, "delay": 0}})
        async def block():
            time.sleep(1_000_000)

        await block()
