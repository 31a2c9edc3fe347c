"""`env.AI`: models that code calls, each by its name.

    answer = await self.env.AI.run("gpt-5-mini", {"prompt": "…"}, {"stream": True})

Whose endpoint answers: names that begin with `@playground/` are built in (engine/ai/builtin.py); others are those of
the tenant's own endpoint, or else of the operator's. The call runs on the trusted side, which has the key.

A call inside a step belongs to it: what is committed is never asked again. Each call is an event as soon as it has
ended, also where its attempt fails later, since its tokens are spent. With `stream` the text is appended to a stream of
the step as it comes. A call ends with its worker or its attempt: nobody would read the answer.

Limits: `ai_seconds` for a call, `ai_answer_bytes` read of it, `ai_max_tokens` for its answer, and the budget
(engine/ai/budget.py).
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from playground.engine.ai import builtin
from playground.engine.ai.budget import Budget, Reservation
from playground.engine.ai.endpoint import Endpoint, complete
from playground.engine.ai.requests import Answer, ModelRequest, checked_request
from playground.engine.bindings.binding import Binding, CallContext, CallLimits
from playground.outbound.client import Outbound
from playground.outbound.hosts import HostRule, read_rule
from playground.outbound.limits import Limits
from playground.workflows import events as ev
from playground.workflows.errors import AIError, AIRequestError
from playground.workflows.events import NewEvent

AI_NAME = "AI"
SENT_FACTOR = 8  # bytes of a request for one of the call that made it, at most: JSON writes a character as "\\u0000"
ANY_MODEL = "*"
NO_LIMIT = 2**53  # tokens of a budget that a tenant has left out
SHOWN_MODELS = 20  # named in one message


@dataclass(frozen=True, slots=True)
class Provider:
    """An endpoint with its budget, and the connections by which it is reached."""

    endpoint: Endpoint
    budget: Budget
    outbound: Outbound

    def has(self, model: str) -> bool:
        """Whether it may be asked for a model."""
        return model in self.endpoint.models or ANY_MODEL in self.endpoint.models


class Models(Binding):
    """The models of one tenant, or program. Derive from it to say which endpoints there are."""

    limits: ClassVar[CallLimits] = CallLimits(settings={"seconds": "ai_seconds"}, factor=2)
    ends_with_worker = True
    internal = frozenset({"providers", "answer", "recorded"})

    async def providers(self, call: CallContext) -> Sequence[Provider]:
        """The endpoints that may be asked, the first that has the model before others."""
        return ()

    def describe(self) -> Mapping[str, Any]:
        """See `Binding`."""
        return {"ai": True}

    async def run(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        call: CallContext,
    ) -> dict[str, Any]:
        """Call a model; returns `{"response", "tool_calls", "finish_reason", "model", "usage", "message"}`."""
        host = call.host
        request = checked_request(model, inputs, options, host.limit("ai_max_tokens"))
        if request.stream is not None and call.step is None:
            raise AIRequestError(
                "An answer streams into a stream of a step: call env.AI.run inside a step, or without."
            )
        answer = await self.answer(request, call)
        return answer.as_result(request.model)

    async def models(self, *, call: CallContext) -> list[str]:
        """The names of the models that there are."""
        own = [model for provider in await self.providers(call) for model in provider.endpoint.models]
        return sorted({*builtin.MODELS, *own})

    async def answer(self, request: ModelRequest, call: CallContext) -> Answer:
        """The answer to a call. Raises AIError."""
        host = call.host
        append, began = appender(request, call), host.elapsed()
        if request.model.startswith(builtin.PREFIX):
            return await self.recorded(request, call, began, builtin.answer_of(request, append, host.pause))
        if request.scripted:
            raise AIRequestError("inputs.script and inputs.pace_ms are for built-in models.")
        provider = await self._provider(request.model, call)
        reserved = request.tokens_in + request.max_tokens
        at = host.now()
        reservation = await Reservation.make(host.store.usage, host.row, provider.budget, reserved, at=at)
        asked = _ask(provider, request, append, call)
        answer = await self.recorded(request, call, began, asked, reservation)
        await reservation.settle(answer.tokens_in + answer.tokens_out)
        return answer

    async def _provider(self, model: str, call: CallContext) -> Provider:
        found = await self.providers(call)
        for provider in found:
            if provider.has(model):
                return provider
        names = sorted({*builtin.MODELS, *(name for provider in found for name in provider.endpoint.models)})
        more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
        raise AIRequestError(
            f"The model {model[:80]!r} may not be called here; there are {', '.join(names[:SHOWN_MODELS])}{more}."
        )

    async def recorded(
        self,
        request: ModelRequest,
        call: CallContext,
        began: int,
        asked: Awaitable[Answer],
        reservation: Reservation | None = None,
    ) -> Answer:
        """The answer, once the event that says what it cost is durable. What a lost answer took is not known, so it
        counts as what it might have taken.
        """
        try:
            answer = await asked
        except AIError as failed:
            await call.host.record(_event(request, call, began, 0, 0, failed.code))
            if reservation is not None and not failed.details.get("charged"):
                await reservation.settle(0)
            raise
        await call.host.record(_event(request, call, began, answer.tokens_in, answer.tokens_out))
        return answer


def _event(
    request: ModelRequest, call: CallContext, began: int, tokens_in: int, tokens_out: int, error: str | None = None
) -> NewEvent:
    data: dict[str, Any] = {"model": request.model, "tokens_in": tokens_in, "tokens_out": tokens_out}
    data["took_ms"] = max(0, call.host.elapsed() - began)
    if call.attempt is not None:
        data["attempt"] = call.attempt
    if error is not None:
        data["error"] = error
    return NewEvent(ev.AI_CALLED, data, call.step)


def appender(request: ModelRequest, call: CallContext) -> Callable[[str], None]:
    """Appends text to the stream that a call asks for, if it does."""
    stream, step, attempt = request.stream, call.step, call.attempt
    if stream is None or step is None or attempt is None:
        return lambda text: None
    host = call.host
    host.check_name("The name of a stream", stream)
    return lambda text: host.append(step, attempt, stream, text)


async def _ask(provider: Provider, request: ModelRequest, append: Callable[[str], None], call: CallContext) -> Answer:
    host = call.host
    limits = Limits(
        seconds=host.limit("ai_seconds"),
        bytes_out=SENT_FACTOR * host.limit("call_bytes"),
        bytes_in=host.limit("ai_answer_bytes"),
    )
    async with provider.outbound.client([rule_of(provider.endpoint.base_url)], limits, owner=host.scope_name) as client:
        return await complete(
            client,
            provider.endpoint,
            request,
            append=append,
            idempotency_key=_idempotency_key(call),
            now=host.now,
        )


def rule_of(url: str) -> HostRule:
    """The rule that lets the one host of an address be asked. Raises ValueError: it is none of http or https."""
    parts = urlsplit(url)
    return read_rule(f"POST {parts.scheme}://{parts.netloc}")


def _idempotency_key(call: CallContext) -> str:
    """The same for a call that is made again for the same attempt, another for the next attempt."""
    host = call.host
    if call.step is None:
        origin = f"{host.row.tenant}/{host.row.key}-{host.row.nonce}/{host.row.execution}/{host.next_number(None)}"
    else:
        origin = f"{call.idempotency_key}/{call.attempt}/ai/{host.next_number(call.step)}"
    return hashlib.sha256(origin.encode()).hexdigest()[:32]


class AI(Models):
    """Models for a program's tenants: `Code(env={"AI": AI("https://api.example/v1", key, ["gpt-5-mini"])})`.

    Without an address it has the built-in models alone, as the code of everybody on a server does.

    Args:
        base_url: what `/chat/completions` is appended to.
        key: sent as the bearer token; code never sees it.
        models: those that code may call; `["*"]` for any.
        tokens_per_day: what a tenant may use in a day; None: as the setting `ai_tokens_per_day` says.
        tokens_per_run: what one run may use; None: as the setting says.

    Raises:
        ValueError: an argument can't be used.
    """

    def __init__(
        self,
        base_url: str | None = None,
        key: str = "",
        models: Sequence[str] = (),
        *,
        tokens_per_day: int | None = None,
        tokens_per_run: int | None = None,
    ) -> None:
        self._endpoint = None if base_url is None else Endpoint(check_base_url(base_url), key, check_models(models))
        for tokens in (tokens_per_day, tokens_per_run):
            if tokens is not None and tokens < 0:
                raise ValueError("a budget of tokens is a whole number from 0")
        self._tokens_per_day, self._tokens_per_run = tokens_per_day, tokens_per_run

    def __repr__(self) -> str:
        return f"<AI {', '.join(self._endpoint.models) if self._endpoint is not None else 'built-in'}>"

    def hidden(self) -> Sequence[str]:
        """See `Binding`."""
        return (self._endpoint.key,) if self._endpoint is not None and self._endpoint.key else ()

    async def providers(self, call: CallContext) -> Sequence[Provider]:
        """See `Models`."""
        if self._endpoint is None:
            return ()
        host = call.host
        budget = Budget(
            host.limit("ai_tokens_per_day") if self._tokens_per_day is None else self._tokens_per_day,
            host.limit("ai_tokens_per_run") if self._tokens_per_run is None else self._tokens_per_run,
            is_own=self._tokens_per_day is not None or self._tokens_per_run is not None,
        )
        return (Provider(self._endpoint, budget, host.trusted),)


class OperatorModels(Models):
    """The built-in models and, where they are set up, the operator's: for tenants, and for code of the page where the
    operator lets it.
    """

    async def providers(self, call: CallContext) -> Sequence[Provider]:
        """See `Models`."""
        host = call.host
        url, models = host.limit("ai_url"), split_names(host.limit("ai_models"))
        if not url or not models or not (host.row.tenant or host.limit("ai_anonymous")):
            return ()
        budget = Budget(host.limit("ai_tokens_per_day"), host.limit("ai_tokens_per_run"))
        return (Provider(Endpoint(url, host.limit("ai_key"), models), budget, host.trusted),)


def split_names(text: str) -> tuple[str, ...]:
    """The names in a setting that separates them by commas."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def check_base_url(url: str) -> str:
    """An address that an endpoint may have. Raises ValueError."""
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("the address of an endpoint is http(s)://host/path, without a query")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address of an endpoint holds no user and password; the key is given by itself")
    return url


def check_models(models: Sequence[str]) -> tuple[str, ...]:
    """Names of models that may be called. Raises ValueError."""
    if isinstance(models, str) or not models or not all(isinstance(model, str) and model for model in models):
        raise ValueError('models is a list of names; ["*"] for any')
    if any(model.startswith(builtin.PREFIX) for model in models):
        raise ValueError(f"names that begin with {builtin.PREFIX} are built in")
    return tuple(models)
