"""Long poll with a dynamic delay

A video is rendered elsewhere, and all that can be done is to ask. Being unfinished is an error that is retried, and a
function of the error decides when to ask again: late while it is slow, soon when it is nearly done. A delay longer than
the idle grace (10 seconds unless set otherwise) gives the worker up.

order: 6
group: "Waiting"
params: {"video": "holiday.mov"}
tasks: [{"do": "wake", "step": "wait for the video", "say": "Press Retry now in a gap of `wait for the video`.",
         "seen": "The retry came early, and is marked virtual for ever: the recorded time is not what happened."},
        {"do": "wake", "step": "wait for the video", "hibernated": true, "first": true,
         "say": "Let `next_look` return `\"30 seconds\"` first, press Run, and Retry now once the worker is gone.",
         "seen": "Between two looks there was no process, only the time of the next one."}]
"""

import asyncio

from workers import WorkflowEntrypoint

PROGRESS = [10, 45, 85, 100]  # what the service will say, look by look


class StillRendering(Exception):
    pass


def next_look(info):
    percent = int(str(info["error"]).removesuffix(" %"))
    return "4 seconds" if percent < 40 else "2 seconds" if percent < 80 else "1 second"


PATIENT = {
    "retries": {"limit": 50, "delay": next_look, "backoff": "constant"},
    "timeout": "10 seconds",
}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("start rendering")
        async def start():
            await asyncio.sleep(0.6)
            return {"job": f"render-{event['payload']['video']}"}

        @step.do("wait for the video", config=PATIENT)
        async def look(start, ctx):
            await asyncio.sleep(0.4)
            percent = PROGRESS[min(ctx["attempt"], len(PROGRESS)) - 1]
            print(f"{start['job']} is at {percent} %")
            if percent < 100:
                raise StillRendering(f"{percent} %")
            return {"url": f"/videos/{start['job']}.mp4", "looks": ctx["attempt"]}

        return await look()
