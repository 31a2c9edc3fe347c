"""Start threads, by every way the standard library has.

Line: kill/fork/exec/thread bombs
End: complete []
Danger: fork
"""

import _thread
import asyncio
import concurrent.futures
import threading

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        started = []
        for _ in range(200):
            for way in (
                lambda: threading.Thread(target=int).start(),
                lambda: _thread.start_new_thread(int, ()),
                lambda: threading.Timer(0, int).start(),
                lambda: concurrent.futures.ThreadPoolExecutor().submit(int),
            ):
                try:
                    way()
                    started.append("a thread")
                except RuntimeError:
                    pass
        try:
            await asyncio.to_thread(int)
            started.append("to_thread")
        except RuntimeError:
            pass
        return started
