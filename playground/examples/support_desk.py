"""A support desk

A customer asks for a refund. Two tools look things up at the same time, a person decides, and the answer streams while
it is written. The step that writes it also puts the mail into a queue: both are committed together, so that a worker
killed on the way has sent nothing. `Default` below handles that queue, in a run of its own whose link appears above.

order: 17
group: "In the real world"
params: {"order": "A-1001", "mail": "The lamp arrived broken. May I have my money back?"}
tasks: [{"do": "send-event", "type": "refund", "payload": {"approved": true, "by": "Grace"},
         "say": "Decide as the person in charge: send the `refund` event from the waiting bar.",
         "seen": "The run waited as a row of the database, and the decision is in its journal."},
        {"do": "kill-worker", "during": "write answer",
         "say": "Run it again, approve, and press Kill worker while `write answer` writes.",
         "seen": "The half answer was dropped, and one mail went into the queue: with the step's result."}]
"""

import asyncio

from workers import WorkerEntrypoint, WorkflowEntrypoint

ANSWER = """
We are sorry that the {item} arrived broken. {decision}
Thank you for writing to us, and for the photograph of the box.
"""


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        case = event["payload"]

        @step.do("look up order")
        async def order():
            await asyncio.sleep(0.8)
            return {"item": "lamp", "price": 49}

        @step.do("read policy")
        async def policy():
            await asyncio.sleep(0.6)
            return {"refund_days": 30}

        bought, rules = await asyncio.gather(order(), policy())
        print(f"{case['mail']} {bought['price']} within {rules['refund_days']} days")
        reply = await step.wait_for_event("refund?", "refund", timeout="1 hour")
        approved = reply["payload"]["approved"]

        @step.do("write answer")
        async def write_answer():
            decision = "Your money is on its way." if approved else "A new one is on its way."
            words = ANSWER.format(item=bought["item"], decision=decision).split()
            for word in words:
                await self.env.STREAMS.append("answer", f"{word} ")
                await asyncio.sleep(0.15)
            await self.env.QUEUE.send({"order": case["order"], "text": " ".join(words)})
            return " ".join(words)

        return {"refunded": bought["price"] if approved else 0, "answer": await write_answer()}


class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx, step):
        for message in batch.messages:
            await step.do("send mail", lambda it=message: print(it.body["text"]))
