"""`env.SECRETS`: read by name, and redacted wherever their instance would show them, while the workflow goes on with
the true values.
"""

import json
from typing import Any

import pytest
from dispatch_support import error, journal, on_engine, output, workflow

from playground import KV, Binding, Code, Dispatcher, Effects, Engine, Secrets, WorkflowInstance
from playground.engine.redaction import Redactor
from playground.store.tables import Scope
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

TOKEN = "sk_live_4242"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END KEY-----"


def flows(engine: Engine, body: str, name: str = "secrets", **env: Any) -> Any:
    given = {"SECRETS": Secrets({"TOKEN": TOKEN, "PEM": PEM}), "KV": KV(), **env}
    return Dispatcher(engine, lambda metadata: Code(workflow(body), env=given), name=name).wrap_binding(
        {"tenant": "acme"}
    )


async def everything(instance: WorkflowInstance) -> str:
    """All that can be seen of an instance."""
    shown = [event.as_json() for event in await journal(instance)]
    status = await instance.status()
    return json.dumps([shown, status.output, status.error])


@on_engine()
async def test_a_secret_is_read_by_name(engine: Engine) -> None:
    body = """
    secrets = self.env.SECRETS
    return [len(await secrets.get("TOKEN")), await secrets.names(), repr(secrets)]
    """
    length, names, shown = await output(await flows(engine, body).create())
    assert (length, names) == (len(TOKEN), ["PEM", "TOKEN"]) and "get" in shown
    message = (await error(await flows(engine, "await self.env.SECRETS.get('NOPE')", name="named").create()))[1]
    assert message == "There is no secret 'NOPE'; there are: PEM, TOKEN."


@on_engine(idle_grace_ms=0)
async def test_logs_results_and_outputs_are_redacted_and_the_code_has_the_true_values(engine: Engine) -> None:
    body = f"""
    import logging

    @step.do("reads")
    async def reads():
        token = await self.env.SECRETS.get("TOKEN")
        print(f"using {{token}} now")
        logging.warning("with %s", token)
        return {{"token": token, token: 1, "raw": b"x" + token.encode(), "list": [token]}}

    found = await reads()
    await step.sleep("so that it is read from the journal", 1)
    pem = await self.env.SECRETS.get("PEM")
    print(pem)
    assert found["token"] == {TOKEN!r}
    return {{"same": found["token"] == await self.env.SECRETS.get("TOKEN"), "token": found["token"]}}
    """
    instance = await flows(engine, body).create()
    assert await output(instance) == {"same": True, "token": ev.REDACTED}
    seen = await everything(instance)
    assert TOKEN not in seen and "MIIEvQIBADAN" not in seen and "BgkqhkiG9w0B" not in seen
    texts = [event.data["text"] for event in await journal(instance) if event.type == ev.LOG]
    assert "using [REDACTED] now" in texts and any("with [REDACTED]" in text for text in texts)
    [result] = [event.data["output"] for event in await journal(instance) if event.type == ev.STEP_COMPLETED]
    assert result == {"token": ev.REDACTED, ev.REDACTED: 1, "raw": ev.REDACTED, "list": [ev.REDACTED]}


@on_engine(idle_grace_ms=0)
async def test_a_replay_gives_the_true_value_back(engine: Engine) -> None:
    body = """
    token = await step.do("reads", lambda: self.env.SECRETS.get("TOKEN"))
    await step.wait_for_event("go", "go")
    return token[:3]
    """
    instance = await flows(engine, body).create()
    async for event in instance.subscribe():
        if event.type == ev.EXECUTION_ENDED:
            break
    await instance.send_event("go")
    assert await output(instance) == "sk_"


@pytest.mark.parametrize("where", ["run", "step", "rollback"])
@on_engine()
async def test_errors_are_redacted_wherever_they_come_from(engine: Engine, where: str) -> None:
    body = {
        "run": """
        token = await self.env.SECRETS.get("TOKEN")
        raise ValueError(f"401 for {token}", {"header": token})
        """,
        "step": """
        @step.do("calls", config={"retries": {"limit": 0, "delay": 0}})
        async def calls():
            raise ValueError("401 for " + await self.env.SECRETS.get("TOKEN"))
        await calls()
        """,
        "rollback": """
        async def undo(info):
            raise ValueError("401 for " + await self.env.SECRETS.get("TOKEN"))
        config = {"retries": {"limit": 0, "delay": 0}}
        await step.do("books", lambda: 1, rollback=undo, rollback_config=config)
        raise ValueError("401 for " + await self.env.SECRETS.get("TOKEN"))
        """,
    }[where]
    instance = await flows(engine, body).create()
    name, message = await error(instance)
    assert name == "ValueError" and f"401 for {ev.REDACTED}" in message
    assert TOKEN not in await everything(instance)


@on_engine()
async def test_a_key_of_kv_keeps_the_true_value_shows_it_redacted_and_may_not_be_a_secret(engine: Engine) -> None:
    body = """
    token = await self.env.SECRETS.get("TOKEN")

    @step.do("keeps")
    async def keeps():
        await self.env.KV.put("token", {"value": token})
        return (await self.env.KV.get("token"))["value"] == token

    inside = await keeps()
    outside = (await self.env.KV.get("token"))["value"] == token
    try:
        await self.env.KV.put("key-" + token, 1)
    except Exception as refused:
        return [inside, outside, str(refused)]
    """
    instance = await flows(engine, body).create()
    assert await output(instance) == [True, True, "A KV key is shown in the journal, so it may not hold a secret."]
    assert TOKEN not in await everything(instance)
    assert await engine.store.kv.get(Scope("acme", 0), "token") == (True, {"value": TOKEN})


NAMED = "A step's name is shown in the journal, so it may not hold a secret."


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('await step.do("with " + token, lambda: 1)', f'Step "with {ev.REDACTED}-1": {NAMED}'),
        ('await step.sleep(f"nap {token}", 1)', f'Step "nap {ev.REDACTED}-1": {NAMED}'),
        ('await step.wait_for_event(token, "go")', f'Step "{ev.REDACTED}-1": {NAMED}'),
        (
            'await step.wait_for_event("approval", f"go-{token}")',
            'Step "approval-1": An event\'s type is shown in the journal, so it may not hold a secret.',
        ),
        (
            'await self.env.FLOWS.create("run-" + token)',
            "An instance's id is shown in the journal, so it may not hold a secret.",
        ),
        (
            'await self.env.FLOWS.create_batch([{"id": token}])',
            "An instance's id is shown in the journal, so it may not hold a secret.",
        ),
        (
            'await (await self.env.FLOWS.get("there")).send_event(token)',
            "An event's type is shown in the journal, so it may not hold a secret.",
        ),
        ('await self.env.KV.delete("key-" + token)', "A KV key is shown in the journal, so it may not hold a secret."),
        (
            "await self.env.EFFECTS.charge(1, key=token)",
            "The key of an effect is shown in the journal, so it may not hold a secret.",
        ),
    ],
)
@on_engine()
async def test_a_name_made_at_run_time_that_holds_a_secret_ends_the_run_and_the_error_does_not_show_it(
    engine: Engine, body: str, said: str
) -> None:
    waits = Dispatcher(engine, lambda metadata: Code(workflow('await step.wait_for_event("x", "x")')), name="others")
    others = waits.wrap_binding({"tenant": "acme"})
    await others.create("there")
    instance = await flows(
        engine, f"token = await self.env.SECRETS.get('TOKEN')\n{body}", FLOWS=others, EFFECTS=Effects()
    ).create()
    assert await error(instance) == ("BindingError", said)
    assert TOKEN not in await everything(instance)
    assert [row.id for row in await engine.store.list("acme") if TOKEN in row.id] == []


@on_engine(idle_grace_ms=0)
async def test_a_step_that_was_there_before_its_name_became_a_secret_goes_on(engine: Engine) -> None:
    secrets: dict[str, str] = {}
    source = workflow('await step.wait_for_event("approval of it", "go")\nreturn 1')
    code = Dispatcher(engine, lambda metadata: Code(source, env={"SECRETS": Secrets(secrets)}), name="later")
    instance = await code.wrap_binding({"tenant": "acme"}).create()
    async for event in instance.subscribe():
        if event.type == ev.EXECUTION_ENDED:
            break
    secrets["WORD"] = "approval"
    await instance.send_event("go")
    assert await output(instance) == 1


@on_engine()
async def test_the_ledger_of_effects_is_redacted_like_everything_else_that_is_shown(engine: Engine) -> None:
    body = """
    token = await self.env.SECRETS.get("TOKEN")
    return [await self.env.EFFECTS.charge(5, key="once", note="for " + token) for _ in range(2)]
    """
    instance = await flows(engine, body, EFFECTS=Effects()).create()
    first, again = await output(instance)
    assert (first["note"], again["note"], again["repeated"]) == (f"for {ev.REDACTED}", f"for {ev.REDACTED}", True)
    [row] = await engine.store.list("acme")
    [effect] = await engine.store.effects.of_instance(row.key)
    assert effect.data == {"amount": 5, "note": f"for {ev.REDACTED}"}


class Lock(Binding):
    """Lets in who knows the secret."""

    async def open(self, key: str) -> bool:
        return key == TOKEN


@on_engine()
async def test_a_secret_may_be_given_to_a_binding(engine: Engine) -> None:
    body = "return await self.env.LOCK.open(await self.env.SECRETS.get('TOKEN'))"
    assert await output(await flows(engine, body, LOCK=Lock()).create()) is True


def test_secrets_that_can_not_be_hidden_are_refused() -> None:
    for bad in ({"A": "abc"}, {"A": 5}, {5: "abcdef"}):
        with pytest.raises(ValueError, match="must be a string of at least 4 characters"):
            Secrets(bad)  # type: ignore[arg-type]
    assert TOKEN not in repr(Secrets({"TOKEN": TOKEN}))


def test_only_what_people_wrote_is_redacted_and_the_form_of_an_event_stays() -> None:
    redactor = Redactor(["name", "message"])
    error = {"name": "ValueError", "message": "my name is x", "traceback": [{"line": 1, "code": "name = 1"}], "line": 1}
    shown = redactor.redact_event(NewEvent(ev.STEP_ERRORED, {"error": error}))
    assert shown.data["error"] == {
        "name": "ValueError",
        "message": "my [REDACTED] is x",
        "traceback": [{"line": 1, "code": "[REDACTED] = 1"}],
        "line": 1,
    }
    untouched = NewEvent(ev.WAIT_STARTED, {"event_type": "name", "until": 5})
    assert redactor.redact_event(untouched) is untouched
    plain = NewEvent(ev.LOG, {"text": "nothing here"})
    assert redactor.redact_event(plain) is plain


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    redactor = Redactor(["abcd", "abcd-efgh"])
    assert redactor.redact_event(NewEvent(ev.LOG, {"text": "abcd-efgh abcd"})).data["text"] == "[REDACTED] [REDACTED]"
