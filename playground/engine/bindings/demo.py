"""A service that the playground answers itself, for lessons about `fetch` that need no internet: `playground.example`.

It fails as services do. `GET /weather/{city}?for={whom}` answers 503 the first time that it is asked for somebody.
`POST /orders` takes an order, and the first answer to it is lost on the way: the order is made, the answer is 503. Who
asks again with the same `Idempotency-Key` gets the order that there is; without a key it is a second one.
`GET /orders/{customer}` lists what a customer has ordered.

No socket is opened for it. It remembers the last `REMEMBERED` customers and keys of this process, and forgets them all
with it: a lesson asks under names that nobody else has, such as the id of its run.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import httpx2

DEMO_HOST = "playground.example"
REMEMBERED = 1_000
ORDERS = 20  # of one customer that are remembered
NAME_CHARACTERS = 100
_BUSY = "The service is busy. Try again."


class Demo(httpx2.AsyncBaseTransport):
    """The service. `now` gives epoch milliseconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._asked: OrderedDict[str, bool] = OrderedDict()  # weather that has been asked for
        self._orders: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()  # by customer
        self._by_key: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        kind, _, name = request.url.path.strip("/").partition("/")
        if (request.method, kind) == ("GET", "weather") and name:
            return self._weather(name[:NAME_CHARACTERS], request.url.params.get("for", "")[:NAME_CHARACTERS])
        if (request.method, kind) == ("GET", "orders") and name:
            return httpx2.Response(200, json={"orders": self._orders.get(name[:NAME_CHARACTERS], [])})
        if (request.method, kind, name) == ("POST", "orders", ""):
            return self._order(request, await request.aread())
        return _failed(404, "There are GET /weather/{city}, POST /orders and GET /orders/{customer}.")

    def _weather(self, city: str, whom: str) -> httpx2.Response:
        if _remember(self._asked, f"{whom} {city}", True) is None:
            return _failed(503, _BUSY)
        degrees = hashlib.sha256(city.lower().encode()).digest()[0] % 30 - 5
        return httpx2.Response(200, json={"city": city, "celsius": degrees})

    def _order(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        try:
            wanted = json.loads(body)
            customer, item = str(wanted["customer"])[:NAME_CHARACTERS], str(wanted["item"])[:NAME_CHARACTERS]
        except (ValueError, KeyError, TypeError):
            return _failed(400, 'An order is {"customer": "…", "item": "…"}.')
        key = request.headers.get("idempotency-key")
        known = None if key is None else self._by_key.get(f"{customer} {key}")
        if known is not None:
            return httpx2.Response(200, json={**known, "repeated": True})
        orders = _remember(self._orders, customer, []) or self._orders[customer]
        order = {"number": len(orders) + 1, "item": item, "at": self._now()}
        if len(orders) < ORDERS:
            orders.append(order)
        if key is not None:
            _remember(self._by_key, f"{customer} {key}", order)
        if order["number"] == 1:
            return _failed(503, "The order was made, and this answer in its place says that something went wrong.")
        return httpx2.Response(201, json=order)


def _failed(status: int, why: str) -> httpx2.Response:
    return httpx2.Response(status, json={"error": why})


def _remember(kept: OrderedDict[str, Any], name: str, value: Any) -> Any:
    """What is kept under a name, or None: from now on it is `value`."""
    found = kept.get(name)
    if found is None:
        kept[name] = value
        while len(kept) > REMEMBERED:
            kept.popitem(last=False)
    return found
