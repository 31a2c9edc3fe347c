"""Retries and backoff

The payment service is down for the first two attempts, and each retry waits twice as long as the one before. An error
that no retry can cure is raised as `NonRetryableError`: one attempt, and your code decides what to do. Set `limit` to 1
and watch the third attempt never come, or press Kill worker in a retry gap: the deadline does not move.

order: 3
params: {"amount": 42, "coupon": "SPRING-2019"}
"""

import asyncio

from workers import NonRetryableError, WorkflowEntrypoint

PATIENT = {
    "retries": {"limit": 4, "delay": "1 second", "backoff": "exponential"},
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
