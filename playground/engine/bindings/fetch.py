"""`env.FETCH`, and `from workers import fetch`: tenant code asks hosts that its operator, or its tenant, has allowed.

The request is made on the trusted side by the guarded client (`playground/outbound/`): the code has no network, sees no
credentials and reaches no address that is not public. Who may ask what is a list of rules, each with the credentials
that are sent along (`read_entry`); an answer that holds one of them gives it back as `[REDACTED]`.

Each request is an event of the journal (`fetch_called`), whether or not the attempt that made it comes to its end:
method, host, status, size and time, never the address' path or a body. One that may have changed something, made in a
step, is in the ledger of effects too, under the idempotency key that was sent with it. Made inside a step, a request
belongs to its attempt, and a replay reads the step's result; outside of steps the worker makes it a step of its own.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from playground.engine.bindings.binding import Binding, CallContext, CallLimits
from playground.engine.bindings.demo import DEMO_HOST, Demo
from playground.engine.bindings.secrets import SHORTEST
from playground.engine.mcp.demo import TOOLS_HOST, DemoTools
from playground.engine.tracing import TRACEPARENT
from playground.outbound.addresses import read_networks
from playground.outbound.client import Answer, Outbound, check_headers
from playground.outbound.errors import OutboundError, Refused
from playground.outbound.hosts import HostRule, Rules, Target, allowed_rule, read_rule, read_rules, read_url
from playground.outbound.limits import Limits
from playground.settings import BadSetting, Settings, setting_label
from playground.store.tables import NewEffect
from playground.workflows import events as ev
from playground.workflows import names, values
from playground.workflows.errors import BindingError, NonRetryableError
from playground.workflows.events import REDACTED, NewEvent

FETCH = "FETCH"
EFFECT = "fetch"  # what a request is called in the ledger of effects
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # that change nothing, by the rules of HTTP
IDEMPOTENCY_HEADER = "idempotency-key"
AUTHORIZATION = "Authorization"
_BEARER = AUTHORIZATION + ": Bearer {secret}"
_PLACE = "{secret}"
_ENTRY = frozenset({"host", "methods", "secret", "header", "idempotency"})
_REDIRECTS = ("follow", "manual", "error")
# The settings behind the limits of one request.
_LIMIT_SETTINGS = {
    "seconds": "fetch_seconds",
    "bytes_in": "fetch_bytes",
    "bytes_out": "fetch_sent_bytes",
    "headers": "fetch_headers",
    "header_bytes": "fetch_header_bytes",
    "redirects": "fetch_redirects",
    "reachable": "fetch_reachable",
}
_DEMO_RULE = read_rule(DEMO_HOST)


class InvalidRule(ValueError):
    """An entry of an allow-list can't be used; the message says why."""


class Fetch(Binding):
    """What one owner's code may ask.

    Args:
        allow: rules as text ("GET https://api.example.com"), or as `read_entry` takes them.
        secrets: values of the secrets that entries name.

    Raises:
        ValueError: an entry can't be used, or names a secret that there is not; the message says which.
    """

    limits = CallLimits(
        settings={
            "calls": "fetches_per_execution",
            "in_flight": "fetches_in_flight",
            "bytes": "fetch_bytes",
            "seconds": "fetch_seconds",
        },
        factor=2,
    )

    def __init__(
        self, allow: Sequence[str | Mapping[str, Any] | HostRule] = (), secrets: Mapping[str, str] | None = None
    ) -> None:
        self._rules: Rules = [
            rule if isinstance(rule, HostRule) else with_credentials(read_entry(rule), rule, secrets or {})
            for rule in allow
        ]
        values = {value for rule in self._rules for value in rule.hidden}
        self._hidden = tuple(sorted(values, key=len, reverse=True))

    def __repr__(self) -> str:
        return f"<Fetch {'; '.join(map(str, self._rules))}>"

    def hidden(self) -> Sequence[str]:
        """See `Binding`."""
        return self._hidden

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`."""
        return {"fetch": True}

    async def fetch(self, url: str, options: Mapping[str, Any] | None = None, *, call: CallContext) -> dict[str, Any]:
        """Make a request; `options` are method, headers (pairs), body (text or bytes) and redirect."""
        method, headers, body, redirect = _checked(options or {})
        host = call.host
        host.check_room(call.step)
        target, began, answer, failed = None, host.now(), None, None
        try:
            target = read_url(url)
            key = self._idempotency_key(call, target, method, headers)
            headers = _traced(call, headers)
            answer = await self._ask(call, target, method, headers, body, redirect == "follow", key)
            if redirect == "error" and answer.is_redirect:
                raise Refused(f"{target.host} redirects, and the call says that it must not.")
        except OutboundError as error:
            failed = error
        self._note(call, method, target, host.now() - began, answer, failed)
        if failed is not None:
            raise _for_the_code(failed)
        assert target is not None and answer is not None, "one of the two has come"
        if method not in SAFE_METHODS and call.step is not None:
            await _record(call, method, target, key)
        return self._shown(answer)

    async def _ask(
        self,
        call: CallContext,
        target: Target,
        method: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        follow: bool,
        key: str | None,
    ) -> Answer:
        """Make the request. Raises OutboundError."""
        return await call.host.outbound.fetch(
            self._rules,
            str(target.url),
            owner=call.host.scope_name,
            method=method,
            headers=headers,
            body=body,
            follow=follow,
            limits=limits_of(call.host.limit),
            idempotency_key=key,
        )

    def _idempotency_key(
        self, call: CallContext, target: Target, method: str, headers: Sequence[tuple[str, str]]
    ) -> str | None:
        """The key that is sent: the caller's, or where the rule asks for one that of the step, which each of its
        attempts sends; the same request made twice in one attempt has two.
        """
        for name, value in headers:
            if name.lower() == IDEMPOTENCY_HEADER:
                return value
        rule = allowed_rule(self._rules, target, method)
        if not rule.idempotency or call.idempotency_key is None:
            return None
        request = f"{method} {target.url}"
        number = call.host.next_number(call.step, request)
        return names.derived_id(f"{call.idempotency_key} {number} {request}")

    def _note(
        self,
        call: CallContext,
        method: str,
        target: Target | None,
        took_ms: int,
        answer: Answer | None,
        failed: OutboundError | None,
    ) -> None:
        data: dict[str, Any] = {"method": method, "host": "" if target is None else target.host, "took_ms": took_ms}
        if call.attempt is not None:
            data["attempt"] = call.attempt
        if answer is not None:
            data |= {"status": answer.status, "bytes": len(answer.body)}
            if answer.redirects:
                data["redirects"] = answer.redirects
        if failed is not None:
            data["error"] = failed.message
        call.host.note(NewEvent(ev.FETCH_CALLED, call.host.redact(data), call.step))

    def _shown(self, answer: Answer) -> dict[str, Any]:
        """An answer as the worker receives it, without credentials that a server has sent back."""
        body, headers = answer.body, [list(pair) for pair in answer.headers]
        for secret in self._hidden:
            body = body.replace(secret.encode(), REDACTED.encode())
            headers = [[name, value.replace(secret, REDACTED)] for name, value in headers]
        return {
            "status": answer.status,
            "status_text": answer.reason,
            "headers": headers,
            "url": answer.url,
            "redirected": answer.redirects > 0,
            "body": body,
        }


def read_entry(entry: object) -> HostRule:
    """A rule, written as text or as `{"host", "methods"?, "secret"?, "header"?, "idempotency"?}`, without credentials.

    `host` is written as a rule without methods. `secret` names the secret that is sent along, `header` where:
    `X-Api-Key`, or `Authorization: Basic {secret}`; by default `Authorization: Bearer {secret}`. `idempotency` is true,
    or the header in which the key of the step is sent.

    Raises:
        ValueError: it can't be used; the message says why.
    """
    if isinstance(entry, str):
        return read_rule(entry)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("host"), str):
        raise InvalidRule("An entry of the list is a text, or has a `host`.")
    unknown = entry.keys() - _ENTRY
    if unknown:
        raise ValueError(
            f"{entry['host']!r}: an entry has {', '.join(sorted(_ENTRY))}, not {str(min(unknown))[:60]!r}."
        )
    rule = read_rule(entry["host"])
    methods = entry.get("methods")
    if methods is not None:
        if not isinstance(methods, Sequence) or isinstance(methods, str) or not methods:
            raise ValueError(f'{entry["host"]!r}: `methods` is a list, such as ["GET"].')
        rule = read_rule(f"{','.join(map(str, methods))} {rule.origin}")
    idempotency = entry.get("idempotency") or ""
    name = "Idempotency-Key" if idempotency is True else idempotency
    for header in (name, _header(entry)[0] if entry.get("secret") is not None else ""):
        if header and not is_credential_header(header):
            raise ValueError(f"{entry['host']!r}: {header[:60]!r} is no header that can be set.")
    if entry.get("header") is not None and entry.get("secret") is None:
        raise ValueError(f"{entry['host']!r}: `header` says where a `secret` is sent, and none is named.")
    return dataclasses.replace(rule, idempotency=name)


def is_credential_header(name: object) -> bool:
    """Whether a rule may set a header of this name."""
    try:
        check_headers([(name, "x")])  # type: ignore[list-item]
    except Refused:
        return False
    return True


def _header(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The name of an entry's header, and its value with a place for the secret."""
    text = entry.get("header") or _BEARER
    if not isinstance(text, str):
        raise InvalidRule(f"{entry['host']!r}: `header` is the name of a header.")
    name, colon, template = text.partition(":")
    if not colon:
        return (name, _BEARER.partition(": ")[2]) if name.lower() == AUTHORIZATION.lower() else (name, _PLACE)
    if _PLACE not in template:
        raise ValueError(f"{entry['host']!r}: a header with a value has {_PLACE} in it, where the secret goes.")
    return name, template.strip()


def with_credentials(rule: HostRule, entry: object, secrets: Mapping[str, str]) -> HostRule:
    """The rule of an entry with what it sends along. Raises ValueError: there is no such secret."""
    named = entry.get("secret") if isinstance(entry, Mapping) else None
    if named is None:
        return rule
    secret = secrets.get(named)
    if secret is None or len(secret) < SHORTEST:
        raise ValueError(f"{rule.host!r} names the secret {str(named)[:60]!r}, which there is not.")
    assert isinstance(entry, Mapping), "only such an entry names one"
    name, template = _header(entry)
    value = template.replace(_PLACE, secret)
    try:
        check_headers([(name, value)])
    except Refused:
        raise ValueError(f"The secret {named!r} holds characters that no header may have.") from None
    return dataclasses.replace(rule, headers={name: value}, hidden=(secret,))


def operators_rules(settings: Settings) -> Rules:
    """What all code may ask. Raises BadSetting."""
    return (*_rules_of(settings, "fetch_allow"), _DEMO_RULE)


def tenants_rules(settings: Settings) -> Rules:
    """What tenants may allow their code: this, and what all code may ask. Raises BadSetting."""
    return (*_rules_of(settings, "fetch_tenants"), *operators_rules(settings))


def open_outbound(settings: Settings, now: Callable[[], int]) -> Outbound:
    """The connections to the world that the settings allow, and the demonstration. Raises BadSetting."""
    try:
        reachable = read_networks(settings.fetch_reachable)
    except ValueError as error:
        raise BadSetting(f"{setting_label('fetch_reachable')}: {error}") from None
    return Outbound(reachable, built_in={DEMO_HOST: Demo(now), TOOLS_HOST: DemoTools(now)})


def _rules_of(settings: Settings, name: str) -> Rules:
    try:
        return read_rules(getattr(settings, name))
    except ValueError as error:
        raise BadSetting(f"{setting_label(name)}: {error}") from None


def limits_of(limit: Any) -> Limits:
    """What one request may take; `limit` gives a setting by its name."""
    return Limits(
        seconds=limit("fetch_seconds"),
        bytes_out=limit("fetch_sent_bytes"),
        bytes_in=limit("fetch_bytes"),
        headers=limit("fetch_headers"),
        header_bytes=limit("fetch_header_bytes"),
        redirects=limit("fetch_redirects"),
    )


def _checked(options: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]], bytes | None, str]:
    """The parts of a call's options. Raises BindingError: a hostile worker may send any tree."""
    if not isinstance(options, Mapping):
        raise BindingError("fetch takes its options as a dict.")
    method, headers = options.get("method", "GET"), options.get("headers") or []
    body, redirect = options.get("body"), options.get("redirect", "follow")
    if not isinstance(method, str) or redirect not in _REDIRECTS:
        raise BindingError(f"fetch takes a method as text, and as redirect one of {', '.join(_REDIRECTS)}.")
    if not isinstance(headers, list) or not all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
        for pair in headers
    ):
        raise BindingError("fetch takes headers as names and values, both text.")
    if body is not None and not isinstance(body, (str, bytes)):
        raise BindingError(f"fetch takes a body as text or bytes, not {type(body).__name__}.")
    if isinstance(body, str):
        try:
            body = body.encode()
        except UnicodeEncodeError:
            raise BindingError("fetch: the body is no text that can be sent; it has half a character.") from None
    return method.upper(), [(name, value) for name, value in headers], body, redirect


def _traced(call: CallContext, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers with the context of the attempt's span, unless the code has set one, or has set all it may."""
    context = call.host.traceparent(call.step, call.attempt)
    if context is None or len(headers) >= call.host.limit("fetch_headers"):
        return headers
    return headers if any(name.lower() == TRACEPARENT for name, _ in headers) else [*headers, (TRACEPARENT, context)]


def _for_the_code(failed: OutboundError) -> BindingError | NonRetryableError:
    setting = _LIMIT_SETTINGS.get(failed.limit)
    details = {} if setting is None else {"setting": setting}
    if isinstance(failed, Refused):
        return NonRetryableError(f"fetch: {failed.message}", **details)
    return BindingError(f"fetch: {failed.message}", **details)


async def _record(call: CallContext, method: str, target: Target, key: str | None) -> None:
    """Write a request that may have changed something into the ledger of effects, as long as that has room."""
    host = call.host
    data = {"method": method, "host": target.host, "path": target.url.path[:200]}
    effect = NewEffect(
        host.scope,
        host.row.key,
        EFFECT,
        None if key is None else key[:200],
        host.redact(values.encode(data)),
        str(call.step),
        call.attempt,
        call.execution,
    )
    await host.store.effects.record(effect, at=host.now(), most=host.limit("effects_per_instance"))
