"""Compute for ever with every signal ignored or blocked, and every exception swallowed.

Line: busy loops
End: errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

import signal

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in signal.valid_signals():
            try:
                signal.signal(number, signal.SIG_IGN)
            except OSError:
                pass
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
