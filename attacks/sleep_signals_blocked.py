"""Block every signal and wait for one.

Line: sleeping for ever
End: errored LimitExceeded: not answering: nothing was heard of the worker for
"""

import select
import signal

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            select.select([], [], [], None)
