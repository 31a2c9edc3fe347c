"""Bindings that a program writes itself: what tenants may call, what a call is told, what errors say, and the limits of
each call.
"""

import asyncio
from typing import Any

import pytest
from dispatch_support import Place, error, journal, journal_until, on_engine, output, workflow

from playground import Binding, BindingError, CallContext, CallLimits, Code, Dispatcher, Engine, NonRetryableError
from playground.engine.bindings import (
    ai,
    approvals,
    batch,
    effects,
    fetch,
    kv,
    mcp,
    own_workflow,
    queues,
    secrets,
    streams,
    workflows,
)
from playground.workflows import events as ev

BUILT_IN = (
    *(
        ai.AI,
        approvals.Approvals,
        batch.Batch,
        effects.Effects,
        fetch.Fetch,
        kv.KV,
        mcp.MCP,
        queues.OwnQueue,
        own_workflow.OwnWorkflow,
    ),
    *(queues.Queues, secrets.Secrets, streams.Streams, workflows.Workflows),
)


class Slow(Binding):
    """It goes by the settings, and never answers."""

    async def hang(self) -> None:
        await asyncio.get_running_loop().create_future()


class Weather(Binding):
    """As the documentation writes one."""

    def __init__(self) -> None:
        self.calls: list[CallContext] = []

    async def forecast(self, city: str, days: int = 1, *, units: str = "C", call: CallContext) -> dict[str, Any]:
        self.calls.append(call)
        return {"city": city, "days": days, "units": units, "for": call.tenant}

    async def storm(self) -> None:
        raise BindingError("There is a storm.")

    async def hopeless(self) -> None:
        raise NonRetryableError("There is no weather.")

    async def broken(self) -> None:
        raise RuntimeError("password=hunter2")

    async def unstorable(self) -> Any:
        return object()

    async def large(self) -> str:
        return "x" * 5_000

    def plain(self) -> str:
        return "not callable from outside"

    async def _private(self) -> str:
        return "neither is this"


class Witness(Binding):
    """Reads the journal at the moment of each call, as one who kills the server just then would find it."""

    def __init__(self) -> None:
        self.seen: list[list[tuple[str, str, Any]]] = []

    async def look(self, call: CallContext) -> None:
        host = call.host
        events = await host.store.events(host.row.key, after=0, limit=100)
        self.seen.append(
            [(event.type, str(event.step), event.data.get("attempt")) for event in events if event.step is not None]
        )


class Gate(Binding):
    """Counts who is inside, and lets them out together."""

    limits = CallLimits(calls=5, in_flight=3, bytes=2_000, seconds=0.2)

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.open = asyncio.Event()

    async def enter(self) -> int:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return self.most

    async def hang(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def echo(self, value: Any) -> Any:
        return value

    async def say(self) -> str:
        return "x" * 3_000


async def run_with(engine: Engine, body: str, **env: Any) -> Any:
    flows = Dispatcher(engine, lambda metadata: Code(workflow(body), env=env)).wrap_binding({"tenant": "acme"})
    return await flows.create()


@on_engine()
async def test_a_call_takes_and_gives_storable_values_and_knows_who_calls(engine: Engine) -> None:
    weather = Weather()
    body = """
    @step.do("look")
    async def look():
        return await self.env.WEATHER.forecast("Oslo", days=3)
    outside = await self.env.WEATHER.forecast("Rome", units="F")
    return [await look(), outside, repr(self.env.WEATHER)]
    """
    instance = await run_with(engine, body, WEATHER=weather)
    inside, outside, shown = await output(instance)
    assert inside == {"city": "Oslo", "days": 3, "units": "C", "for": "acme"}
    assert outside == {"city": "Rome", "days": 1, "units": "F", "for": "acme"}
    assert "forecast" in shown
    first, second = weather.calls
    assert (first.step, first.attempt, first.idempotency_key) == (None, None, None)
    assert (str(second.step), second.attempt, second.execution) == ("look-1", 1, 1)
    assert second.instance == instance.id and second.workflow == "dynamic-workflow"
    assert second.idempotency_key is not None and "host" not in repr(second)


@pytest.mark.parametrize(
    ("metadata", "tenant"),
    [
        ({"tenant": 5, "plan": "pro"}, 5),
        ({"tenant": "ada@x.org"}, "ada@x.org"),
        ({"tenant": "Acme Inc.", "regions": ["eu", {"n": 2**60}], "$set": [1]}, "Acme Inc."),
        ({"tenant": "acme"}, "acme"),
    ],
)
@on_engine()
async def test_a_binding_is_told_the_tenant_and_the_metadata_as_the_program_gave_them(
    engine: Engine, metadata: dict[str, Any], tenant: Any
) -> None:
    weather, loaded = Weather(), []

    def load(given: dict[str, Any]) -> Code:
        loaded.append(given)
        return Code(workflow("return await self.env.WEATHER.forecast('Oslo')"), env={"WEATHER": weather})

    assert (await output(await Dispatcher(engine, load).wrap_binding(metadata).create()))["for"] == tenant
    (call,) = weather.calls
    assert call.tenant == tenant and call.metadata == metadata == loaded[0]


@on_engine()
async def test_metadata_that_names_no_tenant_is_there_beside_a_name_that_is_made_of_it(engine: Engine) -> None:
    weather = Weather()
    code = Code(workflow("return await self.env.WEATHER.forecast('Oslo')"), env={"WEATHER": weather})
    await output(await Dispatcher(engine, lambda metadata: code).wrap_binding({"customer": 1}).create())
    assert weather.calls[0].metadata == {"customer": 1} and weather.calls[0].tenant.startswith("_m_")


@on_engine()
async def test_an_attempt_is_in_the_journal_before_any_call_that_it_makes(engine: Engine) -> None:
    witness = Witness()
    body = """
    async def look(ctx):
        await self.env.WITNESS.look()
        if ctx["attempt"] == 1:
            raise ValueError("again")
    await step.do("one", look, config={"retries": {"limit": 1, "delay": 0}})
    @step.do("outer")
    async def outer():
        await step.do("inner", lambda: self.env.WITNESS.look())
    await outer()
    """
    await output(await run_with(engine, body, WITNESS=witness))
    first, second, inner = witness.seen
    assert first[-2:] == [("step_started", "one-1", None), ("attempt_started", "one-1", 1)]
    assert second[-1] == ("attempt_started", "one-1", 2)
    assert inner[-1] == ("attempt_started", "outer-1/inner-1", 1) and ("attempt_started", "outer-1", 1) in inner


@on_engine()
async def test_every_attempt_of_a_step_has_the_same_idempotency_key_and_every_step_its_own(engine: Engine) -> None:
    weather = Weather()
    body = """
    @step.do("look", config={"retries": {"limit": 1, "delay": 0}})
    async def look(ctx):
        await self.env.WEATHER.forecast("Oslo")
        if ctx["attempt"] == 1:
            raise ValueError("again")
    await look()
    await step.do("look", lambda: self.env.WEATHER.forecast("Rome"))
    """
    instance = await run_with(engine, body, WEATHER=weather)
    await output(instance)
    keys = [(str(call.step), call.attempt, call.idempotency_key) for call in weather.calls]
    assert [key[:2] for key in keys] == [("look-1", 1), ("look-1", 2), ("look-2", 1)]
    assert keys[0][2] == keys[1][2] != keys[2][2]
    await instance.restart()
    await journal_until(instance, ev.WORKFLOW_RESTARTED)
    await output(instance)
    assert weather.calls[-1].idempotency_key not in {key[2] for key in keys}, "a restart is another run"


@pytest.mark.parametrize(
    ("call", "name", "said"),
    [
        (
            "forecast()",
            "BindingError",
            "env.WEATHER.forecast(city, days=1, *, units='C'): missing a required argument: 'city'",
        ),
        ("forecast('a', 1, 2)", "BindingError", "too many positional arguments"),
        ("forecast('a', wrong=1)", "BindingError", "unexpected keyword argument 'wrong'"),
        ("forecast('a', call={'tenant': 'globex'})", "BindingError", "unexpected keyword argument 'call'"),
        ("storm()", "BindingError", "There is a storm."),
        ("hopeless()", "NonRetryableError", "There is no weather."),
        ("broken()", "BindingError", "env.WEATHER.broken failed on the server; its log says why."),
        (
            "unstorable()",
            "NotSerialisable",
            "env.WEATHER.unstorable: the result is not serialisable: $: object. A binding gives JSON",
        ),
        ("plain()", "AttributeError", "env.WEATHER has no method 'plain'; it has: broken, forecast"),
        ("_private()", "AttributeError", "env.WEATHER has no method '_private'"),
        ("describe()", "AttributeError", "env.WEATHER has no method 'describe'"),
        (
            "forecast(object())",
            "NotSerialisableError",
            "The arguments of env.WEATHER.forecast are not serialisable: $[0]: object",
        ),
        ("forecast('x' * 2_000_000)", "NotSerialisableError", "The arguments of env.WEATHER.forecast is 2,"),
    ],
)
@on_engine()
async def test_misuse_of_a_binding_is_an_error_that_says_what_is_wrong(
    engine: Engine, place: Place, call: str, name: str, said: str
) -> None:
    instance = await run_with(engine, f"await self.env.WEATHER.{call}", WEATHER=Weather())
    found = await error(instance)
    assert found[0] == name and said in found[1]
    if "broken" in call:
        assert "hunter2" in str(place.log.of("binding_failed")[0]["exc_info"])


@on_engine()
async def test_a_binding_that_is_not_there_is_named_by_those_that_are(engine: Engine) -> None:
    name, message = await error(await run_with(engine, "await self.env.WETTER.forecast('x')", WEATHER=Weather(), N=1))
    assert name == "AttributeError" and "WEATHER" in message


@on_engine()
async def test_code_may_catch_a_refusal_and_read_its_code(engine: Engine) -> None:
    body = """
    try:
        await self.env.WEATHER.storm()
    except Exception as refused:
        return [type(refused).__name__, str(refused), refused.code]
    """
    assert await output(await run_with(engine, body, WEATHER=Weather())) == [
        "BindingError",
        "There is a storm.",
        "binding.refused",
    ]


@on_engine()
async def test_what_is_of_no_use_to_try_again_fails_its_step_at_once(engine: Engine) -> None:
    instance = await run_with(engine, "await step.do('look', lambda: self.env.WEATHER.hopeless())", WEATHER=Weather())
    assert await error(instance) == ("NonRetryableError", "There is no weather.")
    assert [event.type for event in await journal(instance)].count(ev.ATTEMPT_ERRORED) == 1


def test_only_public_coroutine_functions_are_methods() -> None:
    assert set(Weather.methods) == {"forecast", "storm", "hopeless", "broken", "unstorable", "large"}


# Limits.


@on_engine()
async def test_calls_at_once_are_limited_and_the_others_go_on(engine: Engine) -> None:
    gate = Gate()
    body = """
    found = await asyncio.gather(*(self.env.GATE.enter() for _ in range(4)), return_exceptions=True)
    return [str(one) for one in found]
    """
    instance = await run_with(engine, body, GATE=gate)
    await journal_until(instance, ev.EXECUTION_STARTED)
    while gate.inside < 3:
        await asyncio.sleep(0)
    gate.open.set()
    found = await output(instance)
    assert found[:3] == ["3"] * 3
    assert found[3] == "env.GATE: 3 calls under way at once, which is the limit. Await some before making more."


@on_engine()
async def test_calls_of_one_execution_are_limited_in_number(engine: Engine) -> None:
    body = """
    for n in range(5):
        await self.env.GATE.echo(n)
    await self.env.GATE.echo(6)
    """
    name, message = await error(await run_with(engine, body, GATE=Gate()))
    assert (name, message.partition(",")[0]) == ("BindingError", "env.GATE: 5 calls in one execution")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("hang()", "env.GATE.hang did not answer within 0.2 s, which is the limit of a call. Ask for less at once."),
        ("echo('x' * 2_500)", "env.GATE.echo: the call is 2,5"),
        (
            "say()",
            (
                "env.GATE.say: the result is 3,002 bytes; the limit of a call is 2,000. Keep large data elsewhere and "
                "pass its address."
            ),
        ),
    ],
)
@on_engine()
async def test_a_call_is_limited_in_time_and_size(engine: Engine, call: str, said: str) -> None:
    name, message = await error(await run_with(engine, f"await self.env.GATE.{call}", GATE=Gate()))
    assert name == "BindingError" and message.startswith(said)


def test_settings_are_the_limits_of_bindings_without_their_own(place: Place) -> None:
    async def story(engine: Engine) -> None:
        weather = Weather()
        for number, (call, said) in enumerate(
            (("large()", "the result is 5,002"), ("forecast('x' * 4_500)", "the call is 4,"))
        ):
            code = Code(workflow(f"await self.env.WEATHER.{call}"), env={"WEATHER": weather})
            flows = Dispatcher(engine, lambda metadata, code=code: code, name=f"f{number}").wrap_binding(
                {"tenant": "acme"}
            )
            assert said in (await error(await flows.create()))[1]

    place.run(story, call_bytes=4_000)

    async def waits(engine: Engine) -> None:
        said = (await error(await run_with(engine, "await self.env.SLOW.hang()", SLOW=Slow())))[1]
        assert said == (
            "env.SLOW.hang did not answer within 1 s, which is the limit of a call. Ask for less at once. The "
            "setting is call_seconds (PLAYGROUND_CALL_SECONDS)."
        )

    place.run(waits, call_seconds=1)


@on_engine()
async def test_a_worker_that_goes_on_over_its_limit_is_ended(engine: Engine) -> None:
    body = """
    while True:
        await asyncio.gather(*(self.env.GATE.echo(1) for _ in range(50)), return_exceptions=True)
    """
    name, message = await error(await run_with(engine, body, GATE=Gate()))
    assert name == "LimitExceeded" and message.startswith("calls: 1,000 calls of bindings over their limits")


@on_engine()
async def test_a_call_that_outlives_its_step_is_refused(engine: Engine) -> None:
    body = """
    late = []

    @step.do("starts something")
    async def starts():
        async def later():
            await go_on.wait()
            await self.env.WEATHER.forecast("Oslo")
        late.append(asyncio.ensure_future(later()))

    go_on = asyncio.Event()
    await starts()
    go_on.set()
    await late[0]
    """
    name, message = await error(await run_with(engine, body, WEATHER=Weather()))
    assert name == "NonRetryableError" and "step starts something-1 is over" in message


def test_a_worker_can_call_what_is_meant_for_code_and_nothing_else() -> None:
    assert {binding.__name__: sorted(binding.methods) for binding in BUILT_IN} == {
        "AI": ["models", "run"],
        "Approvals": ["link"],
        "Batch": ["mark"],
        "Effects": ["charge", "email", "record"],
        "Fetch": ["fetch"],
        "KV": ["delete", "get", "list", "put"],
        "MCP": ["answer", "call", "list_tools", "poll"],
        "OwnQueue": ["send"],
        "OwnWorkflow": [],
        "Queues": ["send"],
        "Secrets": ["get", "names"],
        "Streams": [],
        "Workflows": [
            *("create", "create_batch", "delete", "delete_batch", "get", "pause", "restart", "resume"),
            *("send_event", "status", "terminate"),
        ],
    }  # fmt: skip
