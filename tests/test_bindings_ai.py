"""`env.AI`: built-in models, an endpoint over a real socket that misbehaves in every way, and the budget of tokens."""

import asyncio
from typing import Any

import pytest
from dispatch_support import error, journal, journal_until, on_engine, output, workflow
from model_server import KEY, ModelServer, model_server

from playground import AI, Code, Dispatcher, Engine, Streams, WorkflowInstance
from playground.engine.ai.endpoint import retry_after
from playground.engine.bindings.ai import Models, OperatorModels
from playground.workflows import events as ev


def flows(engine: Engine, body: str, ai: Models | None = None, tenant: str = "acme") -> Any:
    def code(metadata: Any) -> Code:
        return Code(workflow(body), env={"AI": ai or AI(), "STREAMS": Streams()})

    return Dispatcher(engine, code, name=f"ai-{len(body)}-{id(ai)}").wrap_binding({"tenant": tenant})


def endpoint(server: ModelServer, *models: str, **given: Any) -> AI:
    return AI(server.url, KEY, models or ["*"], **given)


async def called(instance: WorkflowInstance) -> list[dict[str, Any]]:
    """What the journal says of calls, without how long they took."""
    events = [event for event in await journal(instance) if event.type == ev.AI_CALLED]
    return [{name: value for name, value in event.data.items() if name != "took_ms"} for event in events]


ASKS = """
    @step.do("asks", config={{"retries": {{"limit": {retries}, "delay": 1}}}})
    async def asks():
        return await self.env.AI.run({model!r}, {inputs}, {options})

    return await asks()
"""


def asks(model: str, inputs: Any = None, options: Any = None, retries: int = 0) -> str:
    return ASKS.format(model=model, inputs=inputs or {"prompt": "hello you"}, options=options, retries=retries)


@on_engine()
async def test_the_echo_model_says_its_words_into_a_stream_of_the_step(engine: Engine) -> None:
    inputs = {"prompt": "three small words", "pace_ms": 0}
    instance = await flows(engine, asks("@playground/echo", inputs, {"stream": True})).create()
    answer = await output(instance)
    assert answer["response"] == "three small words" and answer["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    words = [value for event in await journal(instance) if event.type == ev.STREAM_APPENDED
             for value in event.data["values"]]  # fmt: skip
    assert words == ["three ", "small ", "words"]
    assert await called(instance) == [{"model": "@playground/echo", "tokens_in": 3, "tokens_out": 3, "attempt": 1}]


@on_engine()
async def test_the_script_model_asks_for_a_tool_and_uses_what_it_gave(engine: Engine) -> None:
    body = """
    script = [{"tool_calls": [{"name": "add", "arguments": {"a": 1, "b": 2}}]}, {"text": "It is {last}."}]
    messages = [{"role": "user", "content": "What is 1 + 2?"}]
    while True:
        def ask():
            return self.env.AI.run("@playground/script", {"messages": messages, "script": script, "pace_ms": 0})

        answer = await step.do("ask", ask)
        messages.append(answer["message"])
        if not answer["tool_calls"]:
            return answer["response"]
        for call in answer["tool_calls"]:
            total = call["arguments"]["a"] + call["arguments"]["b"]
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": str(total)})
    """
    assert await output(await flows(engine, body).create()) == "It is 3."


@on_engine()
async def test_an_endpoint_answers_whole_and_streamed_and_gets_key_and_idempotency(engine: Engine) -> None:
    async with model_server() as server:
        whole = await output(await flows(engine, asks("gpt-x"), endpoint(server)).create())
        assert whole["response"] == "you said hello you" and whole["usage"]["total_tokens"] == 16
        streamed = await flows(engine, asks("gpt-x", {"prompt": "a"}, {"stream": "text"}), endpoint(server)).create()
        assert (await output(streamed))["response"] == "Durable words come one by one."
        parts = [event.data for event in await journal(streamed) if event.type == ev.STREAM_APPENDED]
        assert {part["stream"] for part in parts} == {"text"}
        assert "".join(word for part in parts for word in part["values"]) == "Durable words come one by one."
        first, second = server.headers
        assert first["authorization"] == f"Bearer {KEY}" and first["idempotency-key"] != second["idempotency-key"]
        assert server.asked[0] == {
            "model": "gpt-x", "messages": [{"role": "user", "content": "hello you"}], "max_tokens": 4_096
        }  # fmt: skip


@on_engine()
async def test_tools_are_passed_on_and_their_calls_come_back_whole_and_in_pieces(engine: Engine) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    async with model_server() as server:
        inputs = {"prompt": "add", "tools": [tool]}
        whole = await output(await flows(engine, asks("gpt-x", inputs), endpoint(server)).create())
        assert whole["tool_calls"] == [{"id": "c1", "name": "add", "arguments": {"a": 1}}]
        assert server.asked[0]["tools"] == [tool]
        pieces = await output(await flows(engine, asks("tools", inputs, {"stream": True}), endpoint(server)).create())
        assert pieces["tool_calls"] == [{"id": "", "name": "", "arguments": {"a": 1}}]


WRONG = {
    "unauthorized": ("AIRequestError", "refuses the key (401). It says: this is unauthorized"),
    "limited": ("AIRateLimitError", "no more calls now (429). It asks for 7 seconds."),
    "broken": ("AIUnavailableError", "failed (500)"),
    "bad": ("AIRequestError", "refuses the call (400)"),
    "moved": ("AIRequestError", "answers 307, a redirect, which is not followed"),
    "garbage": ("AIUnavailableError", "can't be read: it is no JSON"),
    "no-choices": ("AIUnavailableError", "no choices with a message"),
    "deep": ("AIUnavailableError", "it is no JSON"),
    "compressed": ("AIUnavailableError", "compressed answer of 127.0.0.1 cannot be read"),
    "cut": ("AIUnavailableError", "cut off before its end"),
    "endless": ("AIUnavailableError", "more than 50,000 bytes, which is the limit. The setting is ai_answer_bytes"),
    "slow": ("AIUnavailableError", "not complete after 1 s. The setting is ai_seconds"),
}


@on_engine(ai_answer_bytes=50_000, ai_seconds=1)
async def test_whatever_an_endpoint_does_wrong_has_a_class_and_words(engine: Engine) -> None:
    async with model_server() as server:
        instances = {
            model: await flows(engine, asks(model, None, {"stream": True}, retries=1), endpoint(server)).create()
            for model in WRONG
        }
        for model, (name, words) in WRONG.items():
            found, message = await error(instances[model])
            assert (found, words in message) == (name, True), (model, found, message)
            calls = await called(instances[model])
            assert len(calls) == (1 if name == "AIRequestError" else 2), (model, calls)
        assert "you sent [REDACTED]" in (await error(instances["unauthorized"]))[1]
        assert KEY not in str([await journal(instance) for instance in instances.values()])
        gives_away = "return (await self.env.AI.run('echoes-the-key', {'prompt': 'x'}))['response'][::-1]"
        assert (await output(await flows(engine, gives_away, endpoint(server)).create()))[::-1] == (
            "your key is [REDACTED]"
        )


@on_engine()
async def test_code_catches_the_classes_and_knows_how_long_to_wait(engine: Engine) -> None:
    body = """
    from workers import AIError, AIRateLimitError, AIRequestError

    async def ask(model):
        try:
            await self.env.AI.run(model, {"prompt": "x"})
        except AIRateLimitError as limited:
            return ["wait", limited.retry_after, limited.code, isinstance(limited, AIError)]
        except AIRequestError as refused:
            return ["give up", str(refused)]

    return [await step.do("a", lambda: ask("limited")), await step.do("b", lambda: ask("nobody's"))]
    """
    async with model_server() as server:
        waits, gives_up = await output(await flows(engine, body, endpoint(server, "limited")).create())
        assert waits == ["wait", 7.0, "ai.rate_limited", True]
        assert gives_up[1].startswith('The model "nobody\'s" may not be called here; there are @playground/echo')
        assert len(server.asked) == 1


@on_engine()
async def test_inputs_that_can_be_none_are_refused_before_any_call(engine: Engine) -> None:
    body = """
    async def refused(*given):
        try:
            await self.env.AI.run(*given)
        except Exception as error:
            return type(error).__name__ + ": " + str(error)

    ask = {"prompt": "x"}
    tries = [
        ("m", {}), ("m", {"prompt": 1}), ("m", {"prompt": "x", "messages": []}), ("m", {"messages": [{"role": "x"}]}),
        ("m", ask | {"nonsense": 1}), ("m", ask | {"max_tokens": 0}), ("m", ask | {"tools": [1]}),
        ("m", ask | {"temperature": "hot"}), ("m", ask | {"stream": True}), ("m", ask, {"speed": 1}),
        ("", ask), ("@playground/none", ask), ("@playground/script", ask), ("m", {"prompt": "x" * 2_000_000}),
        ("@playground/script", ask | {"script": [{"tool_calls": 1}]}), ("@playground/echo", ask | {"pace_ms": -1}),
    ]
    return [await refused(*each) for each in tries]
    """
    async with model_server() as server:
        refusals = await output(await flows(engine, body, endpoint(server)).create())
        assert None not in refusals and not server.asked
        assert {each.partition(":")[0] for each in refusals} == {"AIRequestError", "NotSerialisableError"}, refusals
        assert "either prompt" in refusals[0] and "2,000," in refusals[13]


@on_engine()
async def test_a_prompt_of_ten_megabytes_is_not_sent(engine: Engine) -> None:
    body = """
    async def ask():
        return await self.env.AI.run("gpt-x", {"prompt": "x" * 10_000_000})

    return await step.do("asks", ask)
    """
    async with model_server() as server:
        name, message = await error(await flows(engine, body, endpoint(server)).create())
        assert "10,000" in message and not server.asked, (name, message)


@on_engine(idle_grace_ms=0)
async def test_a_replay_does_not_call_again_what_is_committed(engine: Engine) -> None:
    body = """
    async def ask():
        return (await self.env.AI.run("gpt-x", {"prompt": "once"}))["response"]

    first = await step.do("first", ask)
    await step.wait_for_event("go", "go")
    return [first, await step.do("second", ask)]
    """
    async with model_server() as server:
        instance = await flows(engine, body, endpoint(server)).create()
        await journal_until(instance, ev.EXECUTION_ENDED)
        await instance.send_event("go")
        assert await output(instance) == ["you said once"] * 2
        assert len(server.asked) == 2


@on_engine()
async def test_a_killed_worker_ends_its_call_and_the_next_attempt_calls_anew(engine: Engine) -> None:
    async with model_server() as server:
        instance = await flows(engine, asks("held", None, {"stream": True}), endpoint(server)).create()
        while not server.hung:
            await asyncio.sleep(0.005)
        row = await engine.store.find("acme", instance.id)
        await engine.kill_worker(row)
        while len(server.asked) < 2:
            await asyncio.sleep(0.005)
        while server.hung != 1:  # the first has been given up
            await asyncio.sleep(0.005)
        server.gate.set()
        assert (await output(instance))["response"] == "Durable words come one by one."
        keys = {headers["idempotency-key"] for headers in server.headers}
        assert len(keys) == 2, "each attempt has its own"


@on_engine(ai_max_tokens=100)
async def test_a_budget_refuses_before_the_call_and_fifty_at_once_take_no_more_than_there_is(engine: Engine) -> None:
    body = """
    import asyncio

    async def ask(number):
        try:
            return (await self.env.AI.run("gpt-x", {"prompt": "x"}))["response"]
        except Exception as error:
            return [type(error).__name__, str(error)]

    return await asyncio.gather(*(step.do(f"ask {n}", lambda n=n: ask(n)) for n in range(50)))
    """
    async with model_server() as server:
        held = endpoint(server, "gpt-x", tokens_per_day=1_100, tokens_per_run=100_000)
        answers = await output(await flows(engine, body, held).create())
        refused = [answer for answer in answers if isinstance(answer, list)]
        assert len(server.asked) + len(refused) == 50 and refused
        assert refused[0][0] == "AIBudgetError" and "of the 1,100 of this tenant today" in refused[0][1]
        [(_, used)] = await engine.store.usage.amounts("ai_tokens_per_day", "acme/own", since=0)
        assert used == 16 * len(server.asked) <= 1_100
        server.asked.clear()
        small = endpoint(server, "gpt-x", tokens_per_run=50)
        name, message = await error(await flows(engine, asks("gpt-x"), small, tenant="other").create())
        assert name == "AIBudgetError" and "of the 50 of this run 50 are left" in message and not server.asked


@on_engine(ai_tokens_per_run=0)
async def test_what_a_run_has_used_goes_with_it(engine: Engine) -> None:
    async with model_server() as server:
        ai = endpoint(server, tokens_per_run=10_000)
        instance = await flows(engine, asks("gpt-x"), ai).create()
        await output(instance)
        row = await engine.store.find("acme", instance.id)
        assert [n for _, n in await engine.store.usage.amounts("ai_tokens_per_run", f"{row.key}/own", since=0)] == [16]
        await instance.delete()
        assert await engine.store.usage.amounts("ai_tokens_per_run", f"{row.key}/own", since=0) == []


@on_engine(ai_url="http://127.0.0.1:1/v1", ai_models="gpt-x", ai_tokens_per_day=50, ai_tokens_per_run=9_000)
async def test_a_budget_of_the_operators_models_names_its_setting(engine: Engine) -> None:
    for tokens, setting in ((500, "ai_tokens_per_day"), (4_000, "ai_tokens_per_day")):
        ask = asks("gpt-x", {"prompt": "x", "max_tokens": tokens})
        name, message = await error(await flows(engine, ask, OperatorModels()).create())
        assert name == "AIBudgetError" and f"The setting is {setting} (PLAYGROUND_" in message
    budget = AI("http://127.0.0.1:1/v1", "", ["*"], tokens_per_day=10**9)
    ask = asks("gpt-x", {"prompt": "x" * 30_000})
    name, message = await error(await flows(engine, ask, budget).create())
    assert name == "AIBudgetError" and "of the 9,000 of this run 9,000 are left" in message


@on_engine(ai_max_tokens=7)
async def test_an_answer_is_asked_to_be_no_longer_than_the_setting_says(engine: Engine) -> None:
    async with model_server() as server:
        for max_tokens in (3, 900):
            ask = asks("gpt-x", {"prompt": "x", "max_tokens": max_tokens})
            await output(await flows(engine, ask, endpoint(server)).create())
        assert [asked["max_tokens"] for asked in server.asked] == [3, 7]
        words = asks("@playground/echo", {"prompt": "a b c d e f g h i", "pace_ms": 0})
        answer = await output(await flows(engine, words).create())
        assert (answer["response"], answer["finish_reason"]) == ("a b c d e f g ", "length")


def test_arguments_that_cannot_be_used_are_refused_where_the_program_is_written() -> None:
    for given in (("ftp://x", "", ["m"]), ("https://u:p@x/v1", "", ["m"]), ("https://x/v1?a=1", "", ["m"]),
                  ("https://x", "", []), ("https://x", "", "m"), ("https://x", "", ["@playground/mine"])):  # fmt: skip
        with pytest.raises(ValueError):
            AI(*given)
    assert KEY not in repr(AI("https://x", KEY, ["m"]))


def test_retry_after_has_a_number_or_a_date() -> None:
    now = 1_767_225_600_000  # 1 January 2026
    assert retry_after("7", now) == 7 and retry_after("9" * 30, now) == 86_400
    assert retry_after("Thu, 01 Jan 2026 00:00:30 GMT", now) == 30
    assert retry_after("Wed, 31 Dec 2025 00:00:30 GMT", now) == 0
    assert retry_after("soon", now) is None and retry_after(None, now) is None
