"""Leave generators, coroutines and finalisers behind that go on with steps once `run` has given its result.

Line: outlives its result
End: complete "the result"
"""

import asyncio
import weakref

from workers import WorkflowEntrypoint

KEPT = []


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def clinging():
            while True:
                try:
                    yield await step.do("within", lambda: 1)
                finally:
                    await step.do("after", lambda: "a step of nobody")
                    await asyncio.sleep(3_600)

        async def undying():
            while True:
                try:
                    await asyncio.sleep(3_600)
                except BaseException:
                    KEPT.append(step.sleep("once more", "1 day"))

        generator = clinging()
        await anext(generator)
        KEPT.append(generator)
        KEPT.append(asyncio.ensure_future(undying()))
        await asyncio.sleep(0)
        weakref.finalize(self, lambda: step.do("finaliser", lambda: 1))
        KEPT[1].cancel()
        return "the result"
