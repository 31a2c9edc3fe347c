"""The workflows that the gallery's scenes run, each made for the states that it comes to."""

HEAD = """from workers import NonRetryableError, WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
"""


def code(body: str) -> str:
    """A workflow with this body of `run`."""
    return HEAD + "".join(f"        {line}\n" if line else "\n" for line in body.strip().splitlines())


SLOW = code("""
@step.do("reserve stock")
async def reserve():
    print("11 left")
    return {"left": 11}

@step.do("charge card")
async def charge(ctx):
    print("talking to the bank, attempt", ctx["attempt"])
    await asyncio.sleep(600)

await reserve()
return await charge()
""")
STREAMS = code(
    """
@step.do("resize images")
async def resize():
    await asyncio.sleep(1)
    await self.env.STREAMS.progress(62, "186 of 300")
    await asyncio.sleep(600)

@step.do("write summary")
async def write(ctx):
    await self.env.STREAMS.append("summary", "The order left on Tuesday. Both items were packed together, ")
    if ctx["attempt"] == 1:
        raise ConnectionError("the model hung up")
    await self.env.STREAMS.append("summary", "so that one label was enough, and the courier ")
    await asyncio.sleep(600)

@step.do("list files")
async def list_files():
    await self.env.STREAMS.progress(100, "3 of 3")
    return 3

await list_files()
return await asyncio.gather(resize(), write())
""".replace('@step.do("write summary")', '@step.do("write summary", config={"retries": {"limit": 3, "delay": 100}})')
)
RETRIES = code("""
@step.do("call the bank", config={"retries": {"limit": 4, "delay": "1 hour", "backoff": "constant"}})
async def call():
    raise ConnectionError("the bank did not answer")

await call()
""")
FAILS = code("""
async def reserve():
    return {"left": 11}

async def charge():
    raise NonRetryableError("the card was declined")

await step.do("reserve stock", reserve)
await step.do("charge card", charge)
""")
FORKS = code("""
receipt = await step.do("charge card", lambda: {"receipt": "r-1", "amount": 12.5})
return receipt["label"]
""")
WRONG = code("""
import time, random
started = time.time()
step.do("not awaited", lambda: 1)
await step.do(f"named by chance {random.random()}", lambda: open("/tmp/x"))
try:
    await step.sleep("nap", "3 fortnights")
except BaseException:
    pass
""")
STOPS = code("""
@step.do("charge card")
async def charge():
    return {"receipt": "R-B-2077", "amount": 4900}

@step.do("ship parcel", config={"retries": {"limit": 5, "delay": "10 seconds"}})
async def ship():
    @step.do("print label")
    async def label():
        return "label"
    return await label()

await charge()
await ship()
await step.wait_for_event("customer has signed", "signed")
await step.sleep("until the invoice is due", "14 days")
await step.do("close the order with customer-0417-northern-branch", lambda: 1)
""")
STOPS_LATE = code("""
@step.do("count stock")
async def stock():
    await asyncio.sleep(600)

@step.do("reserve")
async def reserve():
    return 1

async def later():
    await asyncio.sleep(0.2)
    return await reserve()

await asyncio.gather(stock(), later())
""")
FAN = code("""
@step.do("list films")
async def films():
    return list(range(60))

async def transcode(number):
    @step.do(f"transcode customer-upload-{number:04d}-final-cut.mov")
    async def one():
        if number in (17, 41):
            raise NonRetryableError("a broken frame")
        return number
    return await one()

found = await films()
await asyncio.gather(*(transcode(number) for number in found), return_exceptions=True)
for turn in range(12):
    await step.do("check quality", lambda: turn)
await step.wait_for_event("release approved", "approved")
""")
ALIKE = code("""
async def page(number):
    @step.do(f"fetch page {number}", config={"retries": {"limit": 20, "delay": "10 minutes"}})
    async def one():
        if number % 4 == 0:
            raise RuntimeError("no answer from the shop")
        return number
    return await one()

async def approval(number):
    await step.wait_for_event(f"approval of order {number}", "approved")

await asyncio.gather(*(page(number) for number in range(16)), *(approval(number) for number in range(7)))
""")
CHATTY = code("""
for number in range(40):
    print(f"line {number}", "\\x1b[31mred\\x1b[0m" if number % 9 == 0 else "plain")
await step.do("print", lambda: print("in a step") or {"deep": {"list": [1, 2.5, None, True], "text": "x" * 200}})
await step.wait_for_event("the end", "end")
""")
WAITS = code("""
await step.do("ask", lambda: "asked")
await step.wait_for_event("manager decides", "approval", timeout="1 hour")
""")
ASKS = code("""
await step.do("ask", lambda: "asked")
await step.wait_for_event("manager decides", "approval", timeout="1 hour", schema={
    "type": "object", "title": "May Lin have a standing desk?",
    "description": "480 euros, of the budget of this quarter.",
    "properties": {"approved": {"type": "boolean"}, "limit": {"type": "number", "title": "At most, in euros"},
                   "note": {"type": "string", "maxLength": 400}}, "required": ["approved", "limit"]})
""")
SLEEPS = code("""
await step.do("send welcome", lambda: "sent")
await step.sleep("three days", "3 days")
await step.do("send tips", lambda: "sent")
""")
SKIPS = code("""
await step.do("send welcome", lambda: "sent")
await step.sleep("wait a day", "1 day")

@step.do("send tips", config={"retries": {"limit": 2, "delay": "2 hours", "backoff": "constant"}})
async def tips(ctx):
    if ctx["attempt"] == 1:
        raise ConnectionError("the mail server did not answer")

await tips()
await step.sleep("wait for the month", "30 days")
await step.wait_for_event("an answer", "answered")
await step.do("send offer", lambda: "sent")
""")
BRANCHES = code("""
items = await step.do("list items", lambda: [1, 2, 3])
if event["payload"].get("express"):
    await step.do("call courier", lambda: 1)
    if event["payload"].get("abroad"):
        await step.do("fill in the customs form", lambda: 1)
else:
    await step.do("queue parcel", lambda: 1)

async def declined():
    raise NonRetryableError("the card was declined")

try:
    await step.do("charge card", declined)
except Exception:
    await step.do("send invoice", lambda: 1)

async def pack():
    for item in items:
        await step.do(f"pack item {item}", lambda: 1)

await asyncio.gather(pack(), step.do("print label", lambda: 1))
await step.wait_for_event("customer agrees", "agreed")
await step.do("ship", lambda: 1)
""")
NESTED = code("""
@step.do("book trip")
async def trip():
    flight = await step.do("book flight", lambda: "LH 1")
    hotel = await step.do("book hotel with a name that is much longer than any column could ever be", lambda: "Ritz")
    return [flight, hotel]

await trip()
await step.wait_for_event("guest confirms", "confirmed")
""")
VALUES = code("""
from datetime import datetime, timezone

@step.do("charge card")
async def charge():
    lamp = {"sku": "lamp", "amount": 49.95, "note": None}
    chair = {"sku": "a chair that is blue", "amount": 120.5, "note": "fragile"}
    return {
        "order": "B-2077",
        "paid_at": datetime(2026, 11, 29, 19, 48, 39, 120000, tzinfo=timezone.utc),
        "account": 9007199254740993,
        "tags": {"gift", "fragile"},
        "label": bytes(range(137, 200)) + b"label",
        "paid": True,
        "items": [lamp, chair],
        "frames": [{"at": n / 24, "key": n % 12 == 0} for n in range(1_200)],
        "page": "".join(f"<p>line {n} of the receipt</p>\\n" for n in range(4_000)),
    }

return await charge()
""")

RESIZES = code(
    """
async def resize(number):
    await self.env.STREAMS.progress(8 * number + 5)
    await asyncio.sleep(600)

async def one(number):
    await step.do(f"resize {number}.png", lambda: resize(number))

await step.do("list images", lambda: 9)
await asyncio.gather(step.do("upload", lambda: resize(4)), *(one(number) for number in range(9)))
"""
)
