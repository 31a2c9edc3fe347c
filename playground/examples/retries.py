"""Retries and backoff

The payment service is down for the first two attempts, and each retry waits twice as long as the one before: 3 seconds,
then 6. An error that no retry can cure is raised as `NonRetryableError`: one attempt, and your code decides what to do.
The time of the next attempt is in the journal, so a worker that dies in the gap does not move it.

order: 3
group: "Start here"
params: {"amount": 42, "coupon": "SPRING-2019"}
tasks: [{"do": "kill-worker", "between": "charge card",
         "say": "Press Kill worker in a gap between two attempts of `charge card`.",
         "seen": "The next attempt came when it was due: its time stands in the journal, not in a worker."},
        {"do": "fail", "step": "charge card", "attempts": 2, "first": true, "say": "Set `limit` to 1 and press Run.",
         "seen": "One retry was allowed, so the third attempt never came, and its error ended the run."}]
"""

import asyncio

from workers import NonRetryableError, WorkflowEntrypoint

PATIENT = {
    "retries": {"limit": 4, "delay": "3 seconds", "backoff": "exponential"},
    "timeout": "5 seconds",
}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        order = event["payload"]

        @step.do("redeem coupon")
        async def redeem():
            await asyncio.sleep(0.3)
            raise NonRetryableError(f"coupon {order['coupon']} has expired")

        @step.do("charge card", config=PATIENT)
        async def charge(ctx):
            print(f"attempt {ctx['attempt']}: charging {order['amount']} euros")
            await asyncio.sleep(0.5)
            if ctx["attempt"] <= 2:
                raise ConnectionError("the payment service did not answer")
            return {"charged": order["amount"], "attempts": ctx["attempt"]}

        try:
            await redeem()
        except NonRetryableError as error:
            print(f"going on without a discount: {error}")

        return await charge()
