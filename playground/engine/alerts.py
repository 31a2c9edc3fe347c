"""Alerts: a webhook of the operator's is told of failed runs, of a queue that is stuck, and of lost nodes.

    {"node": "a", "at": 1795000000000, "alerts": [
      {"id", "kind": "run.failed", "tenant", "run", "workflow", "error", "at"},
      {"id", "kind": "runs.failed", "count", "at"},
      {"id", "kind": "queue.stuck", "seconds", "at"},
      {"id", "kind": "node.lost", "node", "at"}]}

Every `ROUND_MS` one node of those that share the store makes a round: it reads what there is to tell since the last
one that was delivered (store/alerts.py) and sends it in one POST. Only when the receiver has answered with 2xx is it
noted how far alerts are delivered. So each alert is delivered at least once, whatever dies, and perhaps again: its `id`
is the same then. What happened while no server ran, or the receiver was away, is told in the next round. The first
round ever tells of no run that failed before it.

The request is signed as Standard Webhooks are: `webhook-id`, `webhook-timestamp` (seconds), and `webhook-signature`,
`v1,` and the base64 of HMAC-SHA256 with `alert_secret` over "id.timestamp.body".

Limits: a round names `RUNS_NAMED` failed runs and counts all where there are more; a queue that stays stuck is told of
again after `alert_repeat_minutes`. A round waits `alert_seconds` for its receiver and holds up nothing else: no run
waits for it. An alert names a run's error by its class; what the error says may be a secret.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from playground.engine.clock import Clock
from playground.engine.looks import Looks
from playground.outbound.client import Outbound
from playground.outbound.errors import OutboundError
from playground.outbound.hosts import HostRule, Rules, read_url
from playground.outbound.limits import Limits
from playground.settings import BadSetting, Settings, setting_label
from playground.store.protocol import Store

ROUND_MS = 15_000
SETTLED_MS = 5_000  # before now: of what is older, every commit has been seen
RUNS_NAMED = 50
RECEIVER_BYTES = 64 * 1024  # read of an answer
DELIVERED, TURN, STUCK = "alerts delivered", "alerts turn", "alerts queue stuck"  # chores
TENANTS, ALL = "tenants", "all"  # whose failed runs: the setting `alert_runs`

Alert = Mapping[str, Any]


class Alerts:
    """The rounds of one node. Without `alert_url` there are none.

    Raises BadSetting: `alert_url` can't be asked.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: Settings,
        outbound: Outbound,
        node: str,
        new_id: Callable[[], str],
        log: Callable[..., None],
    ) -> None:
        self._store, self._clock, self._settings, self._node = store, clock, settings, node
        self._outbound, self._new_id, self._log = outbound, new_id, log
        self._rules = rules_of(settings.alert_url) if settings.alert_url else ()
        self._looks = Looks(clock, self._look, self._on_failure)

    def start(self) -> None:
        """Make rounds from now on."""
        if self._settings.alert_url:
            self._looks.start()

    async def stop(self) -> None:
        """Stop at once: what is not delivered is in a later round, of whichever node."""
        await self._looks.stop()

    async def _look(self) -> int:
        now = self._clock.now()
        if await self._store.take_chore(TURN, at=now, until=now + ROUND_MS - 1):
            await self.make_round()
        return self._clock.now() + ROUND_MS

    def _on_failure(self, error: Exception) -> None:
        self._log("alerts_failed", error=f"{type(error).__name__}: {error}")

    async def make_round(self) -> bool:
        """Deliver what there is to tell; whether it was, or nothing was.

        Raises StoreError.
        """
        now = self._clock.now()
        after, upto = await self._store.alerts.chore_until(DELIVERED), now - SETTLED_MS
        stuck = await self._stuck(now)
        alerts = stuck if after is None else [*await self._since(after, upto), *stuck]
        if alerts and not await self._deliver(alerts, now):
            return False
        if stuck:
            repeat = self._settings.alert_repeat_minutes * 60_000
            await self._store.take_chore(STUCK, at=now, until=now + repeat)
        await self._store.take_chore(DELIVERED, at=upto, until=upto)
        return True

    async def _since(self, after: int, upto: int) -> list[Alert]:
        tenants_only = self._settings.alert_runs == TENANTS
        count, failed = await self._store.alerts.failed(after, upto, tenants_only=tenants_only, limit=RUNS_NAMED)
        alerts: list[Alert] = [
            {
                "id": f"run.failed:{run.tenant}/{run.id}/{run.generation}", "kind": "run.failed", "tenant": run.tenant,
                "run": run.id, "workflow": run.workflow, "error": run.error, "at": run.ended_at,
            }
            for run in failed
        ]  # fmt: skip
        if count > len(failed):
            alerts.append({"id": f"runs.failed:{after}", "kind": "runs.failed", "count": count, "at": upto})
        for name, at in await self._store.alerts.lost_nodes(after, upto):
            alerts.append({"id": f"node.lost:{name}/{at}", "kind": "node.lost", "node": name, "at": at})
        return alerts

    async def _stuck(self, now: int) -> list[Alert]:
        """The alert of a queue whose oldest run has waited too long, unless it was told of lately."""
        oldest, told_until = await self._store.oldest_due(), await self._store.alerts.chore_until(STUCK)
        waited = 0 if oldest is None else (now - oldest) // 1_000
        if waited < self._settings.alert_queue_seconds or (told_until is not None and told_until > now):
            return []
        return [{"id": f"queue.stuck:{oldest}", "kind": "queue.stuck", "seconds": waited, "at": now}]

    async def _deliver(self, alerts: Sequence[Alert], now: int) -> bool:
        body = msgspec.json.encode({"node": self._node, "at": now, "alerts": alerts})
        url = self._settings.alert_url
        limits = Limits(seconds=self._settings.alert_seconds, bytes_in=RECEIVER_BYTES, redirects=0)
        headers = [("content-type", "application/json"), *self._signed(body, now // 1_000)]
        try:
            answer = await self._outbound.fetch(
                self._rules, url, owner="alerts", method="POST", headers=headers, body=body, follow=False,
                limits=limits,
            )  # fmt: skip
        except OutboundError as error:
            self._log("alerts_failed", error=str(error))
            return False
        if not 200 <= answer.status < 300:
            self._log("alerts_failed", error=f"the receiver answered {answer.status}")
            return False
        return True

    def _signed(self, body: bytes, seconds: int) -> list[tuple[str, str]]:
        id = f"alerts-{self._new_id()}"
        headers = [("webhook-id", id), ("webhook-timestamp", str(seconds))]
        if self._settings.alert_secret:
            headers.append(("webhook-signature", signature(self._settings.alert_secret, id, seconds, body)))
        return headers


def signature(secret: str, id: str, seconds: int, body: bytes) -> str:
    """The signature of a request, as `webhook-signature` has it."""
    signed = hmac.new(secret.encode(), f"{id}.{seconds}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed.digest()).decode()


def rules_of(url: str) -> Rules:
    """The one host that alerts go to, by POST. Raises BadSetting: it is no address that can be asked."""
    try:
        target = read_url(url)
    except OutboundError as refused:
        raise BadSetting(f"{setting_label('alert_url')}: {refused}") from None
    return (HostRule(target.host, ("POST",), target.scheme, target.port),)
