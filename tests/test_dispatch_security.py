"""What a tenant can do to another from inside its own code: nothing.

Also when it speaks to the trusted side without our worker code.
"""

from typing import Any

import pytest
from dispatch_support import Place, error, journal_until, on_engine, output, workflow

from playground import KV, Binding, CallContext, Code, Dispatcher, Effects, Engine, Secrets
from playground.store.tables import Scope
from playground.workflows import events as ev

WAITS = workflow('got = await step.wait_for_event("go", "go", timeout="1 hour")\nreturn got["payload"]')

# Speaks on the worker's channel with frames of its own making.
FORGE = """
def channel(self):
    return self.env.WORKFLOWS._call.__self__._channel


async def forge(self, **frame):
    bindings = self.env.WORKFLOWS._call.__self__
    bindings._last_call += 1
    asked = bindings._calls[bindings._last_call] = asyncio.get_running_loop().create_future()
    channel(self).post({"op": "call", "call": bindings._last_call, "args": [], "kwargs": {}, **frame})
    try:
        return await asked
    except Exception as refused:
        return f"{type(refused).__name__}: {refused}"
"""


class Who(Binding):
    """Says who calls, as the trusted side knows it."""

    async def am_i(self, call: CallContext) -> list[Any]:
        return [call.tenant, call.instance, str(call.step), call.attempt]


def hostile(engine: Engine, body: str, tenant: str = "mallory") -> Any:
    def load(metadata: dict[str, Any]) -> Code:
        if metadata["tenant"] == "mallory":
            env = {"KV": KV(), "EFFECTS": Effects(), "SECRETS": Secrets({"MINE": "mallorys"}), "WHO": Who()}
            return Code(workflow(body, FORGE), env=env)
        return Code(WAITS, env={"KV": KV(), "SECRETS": Secrets({"THEIRS": "acmes secret"})})

    return Dispatcher(engine, load).wrap_binding({"tenant": tenant})


async def victim(engine: Engine, mallory: Any) -> Any:
    """An instance of another tenant, asleep, with a key and an effect."""
    theirs = (
        await Dispatcher(engine, lambda metadata: Code(WAITS), name="victim")
        .wrap_binding({"tenant": "acme"})
        .create("secret-id")
    )
    await journal_until(theirs, ev.WORKFLOW_WAITING)
    return theirs


OPERATIONS = {
    "get": [], "status": [], "pause": [], "resume": [], "terminate": [], "restart": [], "send_event": ["go", 1],
}  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
@on_engine()
async def test_an_instance_of_another_tenant_is_not_there(engine: Engine, operation: str) -> None:
    mallory = hostile(
        engine, f"return await forge(self, binding='WORKFLOWS', method={operation!r}, args=event['payload'])"
    )
    theirs = await victim(engine, mallory)
    before = (await engine.store.find("acme", theirs.id)).last_seq
    for id in (theirs.id, "acme/secret-id", "../acme/secret-id", "nobody"):
        said = await output(await mallory.create(params=[id, *OPERATIONS[operation]]))
        assert said == f'InstanceNotFound: There is no instance "{id}".', (
            "and the answer is the same as for one that never was"
        )
    assert (await engine.store.find("acme", theirs.id)).last_seq == before


@on_engine()
async def test_ids_taken_by_another_tenant_are_free(engine: Engine) -> None:
    mallory = hostile(engine, "return event['payload'] or (await self.env.WORKFLOWS.create('secret-id', 'mine')).id")
    theirs = await victim(engine, mallory)
    assert await output(await mallory.create()) == "secret-id"
    assert await output(await mallory.get("secret-id")) == "mine"
    assert (await theirs.status()).status == "waiting"


@on_engine()
async def test_keys_secrets_and_effects_of_another_tenant_can_not_be_named_listed_or_counted(engine: Engine) -> None:
    acme = Dispatcher(
        engine,
        lambda metadata: Code(
            workflow("await self.env.KV.put('k', 'acme')\nawait self.env.EFFECTS.charge(1, 'key')"),
            env={"KV": KV(), "EFFECTS": Effects()},
        ),
        name="acme",
    )
    await output(await acme.wrap_binding({"tenant": "acme"}).create())
    body = """
    kv, secrets, effects = self.env.KV, self.env.SECRETS, self.env.EFFECTS
    found = [await kv.get("k"), await kv.list(), await kv.list("acme"), await secrets.names()]
    try:
        await secrets.get("THEIRS")
    except Exception as refused:
        found.append(str(refused))
    receipt = await effects.charge(2, "key")
    return [found, receipt["id"], receipt["repeated"]]
    """
    found, receipt, repeated = await output(await hostile(engine, body).create())
    assert found == [None, [], [], ["MINE"], "There is no secret 'THEIRS'; there are: MINE."]
    assert (receipt, repeated) == ("charge-1", False), "a number that counted everybody's would tell of theirs"
    assert await engine.store.kv.get(Scope("acme", 0), "k") == (True, "acme")


@pytest.mark.parametrize(
    ("frame", "said"),
    [("binding='NOPE', method='x'", "BindingError: There is no binding env.NOPE."),
        ("binding='KV', method='limits'", "BindingError: env.KV has no method 'limits'."),
        ("binding='KV', method='__init__'", "BindingError: env.KV has no method '__init__'."),
        ("binding='SECRETS', method='hidden'", "BindingError: env.SECRETS has no method 'hidden'."),
        ("binding='WORKFLOWS', method='_of', args=['x']", "BindingError: env.WORKFLOWS has no method '_of'."),
        ("binding='WORKFLOWS', method='row', args=['x']", "BindingError: env.WORKFLOWS has no method 'row'."),
        ("binding='WORKFLOWS', method='create_once', args=['x']",
        "BindingError: env.WORKFLOWS has no method 'create_once'."),
        (("binding='KV', method='get', args=['k'], kwargs={'call': {'tenant': "
          "'acme'}}"), "unexpected keyword argument 'call'"),
        ("binding='KV', method='get', args=['k', None, {'tenant': 'acme'}]", "too many positional arguments"),
        ("binding='KV', method='get', args=[{'$datetime': 'junk'}]",
        "BindingError: env.KV.get: the arguments can't be read."),
        ("binding='KV', method='get', args=[{'$bytes': 5}]", "BindingError: env.KV.get: the arguments can't be read."),
        (("binding='KV', method='put', args=['k', {'$int': '9' * "
          "9999}]"), "BindingError: env.KV.put: the arguments can't be read."),
        (("binding='KV', method='put', args=['k', 1], step=['do', 'never started', "
          "1]"), "NonRetryableError: env.KV.put: step never started-1 is over"),
        ("binding='WORKFLOWS', method='create_batch', args=[{'id': 'x'}]", "InvalidBatch: A batch is a list"),
        (("binding='WORKFLOWS', method='create_batch', args=[[{'tenant': "
          "'acme'}]]"), "InvalidBatch: Entry 0 of the batch"),
        ("binding='WORKFLOWS', method='create_batch', args=[[{'id': ['x']}]]", "InvalidId"),
        ("binding='WORKFLOWS', method='create', args=[{'x': 1}]", "InvalidId"),
        ("binding='WORKFLOWS', method='restart', args=[[1], {'name': 5}]", "InstanceNotFound"),
        ("binding='WORKFLOWS', method='status', args=[None]", "InstanceNotFound"),],
)  # fmt: skip
@on_engine()
async def test_a_forged_call_is_refused_in_words(engine: Engine, place: Place, frame: str, said: str) -> None:
    assert said in await output(await hostile(engine, f"return await forge(self, {frame})").create())
    assert not place.log.of("binding_failed"), "refused where it is checked, not by an accident further in"


@on_engine()
async def test_who_calls_is_known_from_the_socket_and_not_from_what_is_said(engine: Engine) -> None:
    body = """
    forged = await forge(self, binding="WHO", method="am_i", tenant="acme",
        instance="secret-id", execution=99, attempt=7)
    return forged
    """
    instance = await hostile(engine, body).create("mine")
    assert await output(instance) == ["mallory", "mine", "None", None]


@pytest.mark.parametrize(
    "frame",
    ["{'op': 'call'}", "{'op': 'call', 'call': 1, 'binding': 'K' * 101, 'method': 'x'}",
     "{'op': 'call', 'call': -1, 'binding': 'KV', 'method': 'x'}",
     "{'op': 'call', 'call': 1, 'binding': 'KV', 'method': 'get', 'args': 'k'}", "{'op': 'claim', 'tenant': 'acme'}"],
)  # fmt: skip
@on_engine()
async def test_a_frame_that_is_no_call_ends_the_worker(engine: Engine, frame: str) -> None:
    name, message = await error(await hostile(engine, f"channel(self).post({frame})\nawait asyncio.sleep(60)").create())
    assert name == "LimitExceeded" and message.startswith("protocol: a frame is not what the protocol allows")


@on_engine()
async def test_calls_under_invented_names_are_counted_together_and_end_the_worker(engine: Engine) -> None:
    body = """
    for n in range(20_000):
        channel(self).post({"op": "call", "call": n + 1, "binding": f"B{n}", "method": "x"})
    await asyncio.sleep(60)
    """
    name, message = await error(await hostile(engine, body).create())
    assert name == "LimitExceeded" and message.startswith("calls: 1,000 calls of bindings over their limits")


@on_engine()
async def test_metadata_is_not_told_to_the_code_that_it_routes_to(engine: Engine) -> None:
    body = """
    import gc
    return [value for value in gc.get_objects() if isinstance(value, dict) and value.get("tenant") == "mallory"]
    """
    assert await output(await hostile(engine, body).create()) == []


@on_engine()
async def test_secrets_not_asked_for_are_nowhere_in_the_worker(engine: Engine) -> None:
    body = """
    import gc
    wanted = "mallor" + "ys"
    before = [value for it in gc.get_objects() if isinstance(it, (dict, list))
              for value in (it.values() if isinstance(it, dict) else it)]
    return sum(isinstance(value, str) and value == wanted for value in before)
    """
    assert await output(await hostile(engine, body).create()) == 0
