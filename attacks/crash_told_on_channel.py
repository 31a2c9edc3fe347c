"""Have the crash handler write what it has to say on the channel, where the frames are, and crash.

Line: null dereference
End: errored LimitExceeded: protocol | errored WorkerLostRepeatedly
"""

import ctypes
import faulthandler

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        faulthandler.enable(file=3, all_threads=True)
        try:
            faulthandler.dump_traceback_later(0.01, repeat=True, file=3)
        except RuntimeError:
            pass
        ctypes.string_at(0)
