"""Saga with rollback

A flight and a hotel are booked, then there is no car: the run fails, and the bookings are undone, the last one first.
Each is undone by its `rollback` function, which is retried like any step. A worker that is killed meanwhile is no way
out: the rollback goes on where it stopped.

order: 12
group: "In the real world"
params: {"city": "Lisbon", "cars": 0}
tasks: [{"do": "kill-worker", "undoing": "book hotel", "say": "Press Kill worker while `book hotel` is being undone.",
         "seen": "The next worker went on undoing: what was cancelled already was not cancelled again."},
        {"do": "finish", "first": true, "say": "Set `cars` to 1 in the params and press Run.",
         "seen": "Nothing failed, so nothing was undone."}]
"""

import asyncio

from workers import NonRetryableError, WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        trip = event["payload"]

        async def cancel(undone):
            print(f"cancelling the {undone['output']['booked']}, because {undone['error']}")
            await asyncio.sleep(2.5)

        @step.do("book flight", rollback=cancel)
        async def book_flight():
            await asyncio.sleep(0.8)
            return {"booked": f"flight to {trip['city']}", "price": 180}

        @step.do("book hotel", rollback=cancel)
        async def book_hotel():
            await asyncio.sleep(0.8)
            return {"booked": f"hotel in {trip['city']}", "price": 240}

        @step.do("book car")
        async def book_car():
            await asyncio.sleep(0.8)
            if not trip["cars"]:
                raise NonRetryableError(f"there is no car in {trip['city']}")
            return {"booked": "car", "price": 90}

        booked = [await book_flight(), await book_hotel(), await book_car()]
        return {"total": sum(one["price"] for one in booked)}
