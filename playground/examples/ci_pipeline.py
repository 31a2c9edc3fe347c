"""CI pipeline

Check out, then lint, build and a matrix of tests at once, then a deployment that is watched before it counts. The tests
on Python 3.12 are flaky and pass on their second attempt; the others do not run again. What fails for good stops the
run before anything is deployed.

order: 11
group: "Shapes"
params: {"commit": "8f3c2d1", "versions": ["3.11", "3.12", "3.13"]}
tasks: [{"do": "fail", "step": "test on 3.12", "attempts": 3, "first": true,
         "say": "Take out `and ctx[\"attempt\"] == 1` and press Run.",
         "seen": "Three attempts, as its config says, and nothing was deployed."}]
"""

import asyncio

from workers import WorkflowEntrypoint

JOB = {
    "retries": {"limit": 2, "delay": "1 second", "backoff": "constant"},
    "timeout": "1 minute",
}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        commit = event["payload"]["commit"]

        async def job(name, seconds, flaky=False):
            @step.do(name, config=JOB)
            async def runner(ctx):
                print(f"{name} starts on {commit}")
                await asyncio.sleep(seconds)
                if flaky and ctx["attempt"] == 1:
                    raise TimeoutError(f"{name}: a socket was slow")
                return {"job": name, "attempts": ctx["attempt"]}

            return await runner()

        await job("check out", 0.6)

        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(job("lint", 0.8)), group.create_task(job("build", 2))]
            for version in event["payload"]["versions"]:
                tests = job(f"test on {version}", 1.4, flaky=version == "3.12")
                jobs.append(group.create_task(tests))

        await job("deploy", 1)
        await step.sleep("watch the error rate", "5 seconds")

        @step.do("promote")
        async def promote():
            await asyncio.sleep(0.5)
            return f"{commit} serves everyone"

        return {"jobs": [done.result() for done in jobs], "outcome": await promote()}
