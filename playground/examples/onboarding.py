"""Onboarding drip

A mail a day until the person has started: a plain loop that sleeps between two mails. In production `day` would be `"1
day"` and the loop would sleep for a week without a process; here a day takes 4 seconds. Every turn of the loop uses the
same step names: calls of one name are told apart by their count, so nobody gets a mail twice.

order: 7
group: "Waiting"
params: {"name": "Noor", "day": "4 seconds", "starts_on_day": 3}
tasks: [{"do": "kill-worker", "during": "wait a day",
         "say": "Press Kill worker during `wait a day`, between two mails.",
         "seen":
         "The loop came to the same turn again: earlier mails were read from the journal, and the day went on."}]
"""

import asyncio

from workers import WorkflowEntrypoint

MAILS = ["Welcome!", "Three things to try first", "Shall we set it up together?", "Last call"]


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        person = event["payload"]

        async def send(subject):
            print(f"to {person['name']}: {subject}")
            await asyncio.sleep(0.5)
            return subject

        async def is_active(day):
            await asyncio.sleep(0.3)
            return day >= person["starts_on_day"]

        sent = []
        for day, subject in enumerate(MAILS, start=1):
            sent.append(await step.do("send mail", lambda subject=subject: send(subject)))
            await step.sleep("wait a day", person["day"])
            if await step.do("look for activity", lambda day=day: is_active(day)):
                return {"mails": sent, "active": True}

        return {"mails": sent, "active": False}
