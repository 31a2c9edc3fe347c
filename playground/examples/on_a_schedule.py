"""On a schedule

A report of the seven days before, every Monday at nine. Code finds in `event.schedule` which firing it is, so that one
that comes late, or is made up for, reports on the same days. Run stands for the next firing here: the field Fired by,
under the code, holds the cron expression. With a key from the operator, `/tenants` has the clock fire it for good,
with a time zone, pause, and what to do about firings that were missed.

order: 23
group: "In the real world"
schedule: "0 9 * * MON"
params: {"to": "the whole team"}
tasks: [{"do": "finish", "say": "See which days `collect` takes: they end at the firing's time, not now.",
         "seen": "The firing says for when it stands, and says the same in every replay and retry."},
        {"do": "answer", "step": "write report", "has": {"fired": "Friday 18:00"}, "first": true,
         "say": "Have it on Fridays at six: make Fired by `0 18 * * FRI`, and press Run.",
         "seen": "Same code, another schedule: nothing in it knew of Mondays."}]
"""

from datetime import UTC, datetime, timedelta

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        fired = event["schedule"]
        if fired is None:  # somebody has started it by hand
            until = event["timestamp"]
        else:
            until = datetime.fromtimestamp(fired["scheduledTime"] / 1000, UTC)

        @step.do("collect")
        async def collect():
            days = [until - timedelta(days=ago) for ago in range(7, 0, -1)]
            return {f"{day:%a %d %b}": 40 + day.weekday() for day in days}

        sold = await collect()

        @step.do("write report")
        async def report():
            print(f"{sum(sold.values())} sold in {len(sold)} days")
            return {"fired": f"{until:%A %H:%M}", "sold": sum(sold.values())}

        @step.do("send report")
        async def send():
            await self.env.EFFECTS.email(event["payload"]["to"], "The week")
            return "sent"

        written = await report()
        await send()
        return written
