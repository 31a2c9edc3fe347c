"""Give a result and compute on, by a task, a finaliser and an exit handler.

Line: outlives its result
End: complete "done"
"""

import asyncio
import atexit

from workers import WorkflowEntrypoint


def spin():
    while True:
        pass


class Last:
    def __del__(self):
        spin()


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        atexit.register(spin)
        self.last = Last()
        asyncio.get_running_loop().call_later(0.01, spin)
        return "done"
