"""A client of the playground's HTTP API, for programs and for the commands of `playground`.

    async with Client("https://play.example") as client:
        run = await client.create(source, params={"order": "B-2077"})
        async for event in run.events():
            print(event.seq, event.type)
        print((await run.get()).output)

It is asynchronous only: a program that follows runs does several things at once, and one that does not says
`asyncio.run`. The types of answers are those that openapi.json is made from (`playground.web.api.response_types`). Who
starts an instance gets its control token in `run.token`, and has to keep it: with it alone the instance is changed.
"""

from playground.client.client import Client
from playground.client.errors import (
    BadAnswer,
    BadRequest,
    ClientError,
    Conflict,
    NotAllowed,
    NotFound,
    NotReached,
    Refused,
    ServerFault,
    SourceRefused,
    TooLarge,
    TooMany,
    Unavailable,
)
from playground.client.instances import NOTHING, Anonymous, Reset, RunOf, StepRef
from playground.client.tenants import Operator, TenantClient

__all__ = [
    "NOTHING",
    "Anonymous",
    "BadAnswer",
    "BadRequest",
    "Client",
    "ClientError",
    "Conflict",
    "NotAllowed",
    "NotFound",
    "NotReached",
    "Operator",
    "Refused",
    "Reset",
    "RunOf",
    "ServerFault",
    "SourceRefused",
    "StepRef",
    "TenantClient",
    "TooLarge",
    "TooMany",
    "Unavailable",
]
