"""The durable lint: each rule on a program that breaks it, at the place that breaks it, with the fix that cures it.

The rules on what differs at replay are in test_analysis_replay.py, those on what workers lack in
test_analysis_workers.py, those on characters that nobody sees in test_analysis_invisible.py.
"""

import re

import pytest
import test_analysis_invisible
import test_analysis_only_here
import test_analysis_replay
import test_analysis_workers
from analysis_support import apply, check_alone, check_case, program

from playground.analysis import inspect
from playground.analysis.diagnostics import ERROR, HINT, INFO, RULES, WARNING

CASES = [
    # time, random values, ids and I/O outside a step
    ("time", "time-outside-step",
     "x = «time.time()»\nreturn x => x = await step.do(\"take the time\", lambda: time.time())"),
    ("now", "time-outside-step",
     "return «datetime.now()»  => return await step.do(\"take the time\", lambda: datetime.now())"),
    ("now through the module", "time-outside-step", "return «dt.datetime.now(dt.UTC)».year"),
    ("today", "time-outside-step", "return str(«dt.date.today()»)"),
    ("a deadline", "time-outside-step", "if «time.monotonic()» > 5:\n    return 1"),
    ("random", "random-outside-step",
     "return [1, «random.randint(1, 6)»] => return [1, (await step.do(\"draw\", lambda: random.randint(1, 6)))]"),
    ("shuffle", "random-outside-step", "items = [1, 2]\n«random.shuffle(items)»\nreturn items"),
    ("secrets", "random-outside-step", "return «secrets.token_hex(8)»"),
    ("uuid", "id-outside-step",
     "order = «uuid.uuid4()»\nreturn str(order) => order = await step.do(\"make an id\", lambda: str(uuid.uuid4()))"),
    ("uuid as text", "id-outside-step",
     "return str(«uuid.uuid4()») => return await step.do(\"make an id\", lambda: str(uuid.uuid4()))"),
    ("hex of a uuid", "id-outside-step",
     "return «uuid.uuid4()».hex => return await step.do(\"make an id\", lambda: uuid.uuid4().hex)"),
    ("an effect", "io-outside-step",
     "await «self.env.EFFECTS.email('a@b.c')» => await step.do(\"email\", lambda: self.env.EFFECTS.email('a@b.c'))"),
    ("a value of another moment", "io-outside-step",
     ("visits = await «self.env.KV.get('visits', 0)»\nreturn visits => "
      "visits = await step.do(\"get\", lambda: self.env.KV.get('visits', 0))")),
    ("a binding kept in a name", "io-outside-step",
     "kv = self.env.KV\nawait «kv.put('a', 1)» => await step.do(\"put\", lambda: kv.put('a', 1))"),
    ("a child of each execution", "io-outside-step",
     "child = await «self.env.WORKFLOWS.create(params={})»\nreturn child.id"),
    ("asyncio.sleep", "sleep-outside-step", "await «asyncio.sleep(5)» => await step.sleep(\"pause\", \"5 seconds\")"),
    ("in a helper that run calls", "random-outside-step", "def pick():\n    return «random.random()»\n\nreturn pick()"),
    ("captured by a step", "time-outside-step",
     "now = «time.time()»\nawait step.do('a', lambda: now)\nawait step.do('b', lambda: now)"),
    # names
    ("id in a name", "unstable-name", "await step.do(«f'order {uuid.uuid4()}'», lambda: 1)"),
    ("time in the name of a sleep", "unstable-name", "await step.sleep(«'s' + str(time.time())», '1 second')"),
    ("empty name", "bad-name", "await step.do(«''», lambda: 1)"),
    ("name with a newline", "bad-name", "await step.sleep(«'a\\nb'», '1 second')"),
    ("number for a name", "bad-name", "await step.sleep(«3», '1 second')"),
    ("same name twice", "duplicate-name", "await step.do('a', lambda: 1)\nawait step.do(«'a'», lambda: 2)"),
    ("same name, one decorated", "duplicate-name",
     "@step.do()\nasync def a(): ...\n\nawait a()\nawait step.do(«'a'», lambda: 2)"),
    ("dots in an event type", "bad-event-type",
     "await step.wait_for_event('w', «'order.paid'») => await step.wait_for_event('w', \"order-paid\")"),
    # awaits
    ("sleep", "not-awaited", "«step.sleep('s', '1 day')» => await step.sleep('s', '1 day')"),
    ("wait", "not-awaited", "«step.wait_for_event('s', 'paid')» => await step.wait_for_event('s', 'paid')"),
    ("direct do", "not-awaited", "«step.do('s', lambda: 1)» => await step.do('s', lambda: 1)"),
    ("decorated", "not-awaited", "@step.do()\nasync def a(): ...\n\n«a()»"),
    ("kept and never used", "not-awaited", "x = «step.do('s', lambda: 1)» => x = await step.do('s', lambda: 1)"),
    ("used as its result", "not-awaited",
     "x = «step.do('s', lambda: 1)»\nreturn f'{x}!' => x = await step.do('s', lambda: 1)"),
    ("indexed", "not-awaited",
     ("return «step.wait_for_event('s', 'paid')»['payload'] => "
      "return (await step.wait_for_event('s', 'paid'))['payload']")),
    ("returned", "not-awaited", "return «step.do('s', lambda: 1)» => return await step.do('s', lambda: 1)"),
    ("gather", "not-awaited", "«asyncio.gather(step.do('a', lambda: 1), step.do('b', lambda: 1))»"),
    ("defined and forgotten", "never-run", "@step.do('a')\nasync def «forgotten»():\n    return 1 => return 1"),
    # closures
    ("a comprehension's variable", "late-variable",
        ("await asyncio.gather(*[step.do(f'n {n}', lambda: «n») for n in 'ab']) => "
         "await asyncio.gather(*[step.do(f'n {n}', lambda n=n: n) for n in 'ab'])"),),
    ("a loop's variable", "late-variable",
     "tasks = []\nfor n in range(3):\n    tasks.append(step.do(f'n {n}', lambda: print(«n»)))\nreturn tasks"),
    # calls
    ("do without a function", "no-function", "await «step.do('a')»"),
    ("camel case", "unknown-method", "await «step.waitForEvent»('a', 'b') => await step.wait_for_event('a', 'b')"),
    ("older rollback", "unknown-method", "@«step.with_rollback»('a')\nasync def a(): ...\n\nawait a()"),
    ("older rollback of all", "unknown-method", "await «step.rollback_all»()"),
    ("typo", "unknown-method", "await «step.sleeep»('a', '1 day') => await step.sleep('a', '1 day')"),
    ("a patch inside a step", "patch-in-step",
     "return await step.do('a', lambda: «step.patched('tax')»)"),
    ("an awaited patch", "patch-awaited",
     "return «await step.patched('tax')» => return step.patched('tax')"),
    ("a patch that decides nothing", "patch-unused", "«step.patched('tax')»"),
    ("another word for patched", "unknown-method", "return «step.patch»('tax') => return step.patched('tax')"),
    ("retries beside the config", "unknown-argument",
     ("await step.do('a', lambda: 1, «retries=3») => "
      "await step.do('a', lambda: 1, config={\"retries\": {\"limit\": 3, \"delay\": \"10 seconds\"}})")),
    ("a timeout beside the config", "unknown-argument",
     ("await step.do('a', lambda: 1, «timeout='1 day'») => "
      "await step.do('a', lambda: 1, config={\"timeout\": '1 day'})")),
    ("sleep without a duration", "missing-argument", "await «step.sleep('1 day')»"),
    ("wait without a type", "missing-argument", "await «step.wait_for_event('a', timeout='1 day')»"),
    ("arguments for a step", "step-arguments", "@step.do()\nasync def a(): ...\n\nawait «a(1)»"),
    ("parameter that is no step", "unknown-parameter",
     "@step.do()\nasync def a(«order»):\n    return order\n\nawait a()"),
    ("options before the function", "options-second",
     ("await step.do('a', «{'timeout': '1 minute'}, lambda: 1») => "
      "await step.do('a', lambda: 1, config={'timeout': '1 minute'})")),
    ("options in a name", "options-second",
     "slow = {'timeout': '1 minute'}\nawait step.do('a', «slow, print») => await step.do('a', print, config=slow)"),
    ("options of a decorator", "options-second",
     ("@step.do('a', «{'timeout': '1 minute'}»)\nasync def a(): ...\n\nawait a() => "
      "@step.do('a', config={'timeout': '1 minute'})")),
    ("options of a wait", "options-second",
     ("await step.wait_for_event('a', «{'type': 'paid', 'timeout': '1 day'}») => "
      "await step.wait_for_event('a', 'paid', timeout='1 day')")),
    # config
    ("unknown key", "config",
     ("await step.do('a', lambda: 1, config={«'timout'»: '1 day'}) => "
      "await step.do('a', lambda: 1, config={\"timeout\": '1 day'})")),
    ("limit outside of retries", "config",
     ("await step.do('a', lambda: 1, config={«'limit'»: 3}) => "
      "await step.do('a', lambda: 1, config={\"retries\": {\"limit\": 3, \"delay\": \"10 seconds\"}})")),
    ("retries without delay", "config",
     ("await step.do('a', lambda: 1, config={'retries': «{'limit': 3}»}) => "
      "await step.do('a', lambda: 1, config={'retries': {'limit': 3, \"delay\": \"10 seconds\"}})")),
    ("empty retries", "config",
     ("await step.do('a', lambda: 1, config={'retries': «{}»}) => "
      "await step.do('a', lambda: 1, config={'retries': {\"limit\": 5, \"delay\": \"10 seconds\"}})")),
    ("retries is a number", "config", "await step.do('a', lambda: 1, config={'retries': «3»})"),
    ("endless", "config",
     "await step.do('a', lambda: 1, config={'retries': {'limit': «float('inf')», 'delay': '1 second'}})"),
    ("limit below 0", "config",
     "await step.do('a', lambda: 1, config={'retries': {'limit': «-1», 'delay': '1 second'}})"),
    ("backoff", "config",
     "await step.do('a', lambda: 1, config={'retries': {'limit': 1, 'delay': '1 second', 'backoff': «'expo'»}})"),
    ("sensitive", "config", "await step.do('a', lambda: 1, config={'sensitive': «True»})"),
    ("config in a constant", "config", "c = {«'delay'»: '1 second'}\nawait step.do('a', lambda: 1, config=c)"),
    ("rollback config", "config",
     ("await step.do('a', lambda: 1, rollback=print, rollback_config={'retries': {'limit': 1, 'delay': '1 second', "
      "«'time'»: 1}})")),
    ("short seconds", "bad-duration", "await step.sleep('a', «'30s'») => await step.sleep('a', \"30 seconds\")"),
    ("short hour", "bad-duration", "await step.sleep('a', «'1h'») => await step.sleep('a', \"1 hour\")"),
    ("milliseconds", "bad-duration", "await step.sleep('a', «'500 ms'») => await step.sleep('a', \"0.5 seconds\")"),
    ("no unit", "bad-duration", "await step.sleep('a', «'soon'»)"),
    ("negative", "bad-duration", "await step.sleep('a', «-5»)"),
    ("zero timeout", "bad-duration", "await step.do('a', lambda: 1, config={'timeout': «0»})"),
    ("two years", "bad-duration", "await step.sleep('a', «'2 years'»)"),
    ("short wait", "bad-duration", "await step.wait_for_event('a', 'b', timeout=«'0.5 seconds'»)"),
    ("delay", "bad-duration", "await step.do('a', lambda: 1, config={'retries': {'limit': 1, 'delay': «'5 min'»}})"),
    ("bare number", "bare-number", "await step.sleep('a', «30») => await step.sleep('a', \"0.03 seconds\")"),
    ("bare timeout", "bare-number",
     ("await step.do('a', lambda: 1, config={'timeout': «60_000»}) => "
      "await step.do('a', lambda: 1, config={'timeout': \"1 minute\"})")),
    # results
    ("lambda", "unstorable-result", "await step.do('a', lambda: [«lambda: 1»])"),
    ("generator", "unstorable-result",
     "await step.do('a', lambda: «(x for x in 'ab')») => await step.do('a', lambda: [x for x in 'ab'])"),
    ("set of objects", "unstorable-result", "class Item: ...\n\nawait step.do('a', lambda: {«Item()»})"),
    ("a uuid in a dict", "unstorable-result",
     "await step.do('a', lambda: {'id': «uuid.uuid4()»}) => await step.do('a', lambda: {'id': str(uuid.uuid4())})"),
    ("a date", "unstorable-result",
     "await step.do('a', lambda: «dt.date.today()») => await step.do('a', lambda: dt.date.today().isoformat())"),
    ("number keys", "unstorable-result", "await step.do('a', lambda: {«1»: 'one'})"),
    ("map", "unstorable-result",
     "await step.do('a', lambda: «map(str, [1])») => await step.do('a', lambda: list(map(str, [1])))"),
    ("yield", "unstorable-result", "@step.do()\nasync def «a»():\n    yield 1\n\nawait a()"),
    ("function of a name", "unstorable-result",
     "def helper(): ...\n\nasync def a():\n    return «helper»\n\nawait step.do('a', a)"),
    ("output", "unstorable-output", "return {'ids': [«uuid.UUID(int=1)»]}"),
    # exceptions
    ("bare except", "catches-all", "try:\n    await step.do('a', lambda: 1)\n«except»:\n    pass"),
    ("BaseException", "catches-all",
     ("try:\n    await step.do('a', lambda: 1)\nexcept «BaseException» as error:\n    print(error) => "
      "except Exception as error:")),
    ("BaseException of several", "catches-all",
     "try:\n    await step.do('a', lambda: 1)\nexcept (OSError, «BaseException»):\n    pass"),
    # names that are not defined
    ("typo of a name", "undefined-name", "amount = 3\nreturn «amonut» => return amount"),
    ("forgotten module", "undefined-name", "return «json».dumps({})"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text"), [case[1:] for case in CASES], ids=[f"{case[1]}: {case[0]}" for case in CASES]
)
def test_finds_it_where_it_stands_and_cures_it(code, text):
    check_case(code, text)


@pytest.mark.parametrize(
    ("code", "text"), [case[1:] for case in CASES], ids=[f"{case[1]}: {case[0]}" for case in CASES]
)
def test_says_nothing_else_that_is_wrong_by_the_way(code, text):
    check_alone(code, text)


ENTRIES = [
    ("nothing", "", "no-workflow", (1, 1, 1, 2), "from workers import WorkflowEntrypoint"),
    ("no class", "import json\n", "no-workflow", (1, 1, 1, 12), ""),
    ("two of other names",
     "from workers import WorkflowEntrypoint\nclass A(WorkflowEntrypoint): ...\nclass B(WorkflowEntrypoint): ...",
     "several-workflows", (2, 7, 2, 8), None),
    ("no run", "from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint): ...", "no-run",
     (2, 7, 2, 21), None),
    ("no run, but something",
     "from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n  kind = 1", "no-run",
     (2, 7, 2, 21), "kind = 1"),
    ("no base", "class TenantWorkflow:\n    async def run(self, event, step): ...", "no-base", (1, 7, 1, 21),
     "class TenantWorkflow(WorkflowEntrypoint):"),
    ("plain run",
     ("from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n"
      "    def run(self, event, step): ..."), "run-not-async", (3, 9, 3, 12), "async def run(self, event, step): ..."),
    ("too few parameters",
     "from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def run(self): ...",
     "run-signature", (3, 15, 3, 18), "async def run(self, event, step): ..."),
    ("too many",
     ("from workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n"
      "    async def run(self, event, step, env): ..."), "run-signature", (3, 15, 3, 18), None),
    ("base not imported", "class TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, event, step): ...",
     "undefined-name", (1, 22, 1, 40), "from workers import WorkflowEntrypoint"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "code", "span", "fixed"), [case[1:] for case in ENTRIES], ids=[case[0] for case in ENTRIES]
)
def test_finds_what_keeps_a_workflow_from_starting(source, code, span, fixed):
    diagnostics, _ = inspect(source)
    assert [(it.code, (it.span.line, it.span.column, it.span.end_line, it.span.end_column)) for it in diagnostics] == [
        (code, span)
    ]
    if fixed is not None:
        after = apply(source, diagnostics[0].fix)
        assert after.split("\n")[diagnostics[0].fix.span.line - 1].strip() == fixed
        assert code not in [diagnostic.code for diagnostic in inspect(after)[0]]


def test_every_rule_of_the_table_has_a_case():
    elsewhere = {"syntax", "syntax-warning", "too-deep", "not-analysed"}
    others = (test_analysis_replay, test_analysis_workers, test_analysis_invisible, test_analysis_only_here)
    cases = [*CASES, *(case for other in others for case in other.CASES)]
    assert {case[1] for case in cases} | {case[2] for case in ENTRIES} | elsewhere == set(RULES)


def test_every_rule_is_of_a_known_severity_and_ends_in_a_sentence():
    for code, rule in RULES.items():
        assert rule.severity in (ERROR, WARNING, INFO, HINT)
        assert re.search(r"(\.|\}|\.`)$", rule.message), code


def test_what_gives_an_object_is_not_to_be_wrapped_in_a_step():
    (found,) = inspect(program("child = await self.env.WORKFLOWS.create()\nreturn child.id"))[0]
    assert (found.code, found.fix) == ("io-outside-step", None)


def test_a_class_of_another_name_is_an_entry_when_it_is_asked_for():
    source = (
        "from workers import WorkflowEntrypoint\nclass Mine(WorkflowEntrypoint):\n    async def run(self, event, "
        "step): ..."
    )
    assert inspect(source, "Mine")[0] == []


def test_the_only_workflow_of_a_file_is_the_entry_whatever_it_is_called():
    source = (
        "from workers import WorkflowEntrypoint\nclass Mine(WorkflowEntrypoint):\n    async def run(self, event, "
        "step): ..."
    )
    assert inspect(source)[0] == []
    (found,) = inspect(source, "Other")[0]
    assert (found.code, apply(source, found.fix).split("\n")[1]) == ("no-workflow", "class Other(WorkflowEntrypoint):")


def test_of_several_workflows_the_finding_names_the_first_ones():
    def classes(*names):
        return "".join(
            f"class {name}(WorkflowEntrypoint):\n    async def run(self, event, step): ...\n" for name in names
        )

    for names, said in (
        (("Order", "Refund"), "`Order` and `Refund` extend"),
        ("ABC", "`A`, `B` and `C` extend"),
        ("ABCDEFG", "`A`, `B`, `C`, `D`, `E` and 2 more extend"),
    ):
        (found,) = inspect("from workers import WorkflowEntrypoint\n" + classes(*names))[0]
        assert found.message.startswith(said) and "Name one of them `TenantWorkflow`" in found.message
    both = "from workers import WorkflowEntrypoint\n" + classes("Order", "TenantWorkflow")
    assert inspect(both)[0] == [] and inspect(both, "Order")[0] == []


def test_a_parameter_may_be_named_like_a_step_or_like_its_function():
    code = (
        "@step.do('price')\nasync def cheap(): ...\n@step.do()\nasync def total(price, cheap, «order»): ...\nawait "
        "total()"
    )
    (found,) = inspect(program(code.replace("«", "").replace("»", "")))[0]
    assert (found.code, "`order`" in found.message) == ("unknown-parameter", True)


def test_a_step_that_a_parameter_names_is_not_forgotten():
    code = "@step.do('price')\nasync def cheap(): ...\n@step.do()\nasync def total(price): ...\nawait total()"
    assert inspect(program(code))[0] == []


def test_a_name_that_only_the_run_can_tell_may_be_that_of_a_parameter():
    code = "@step.do({})\nasync def one(): ...\n@step.do()\nasync def total(price): ...\nawait one()\nawait total()"
    assert inspect(program(code.replace("{}", "event.payload")))[0] == []
    assert [found.code for found in inspect(program(code.replace("{}", "f'for {event.payload}'")))[0]] == [
        "unknown-parameter"
    ]


def test_columns_count_characters_not_bytes():
    source = program("größe = «time.time()»; 数 = 1\nreturn größe + 数").replace("«", "").replace("»", "")
    (found,) = inspect(source)[0]
    assert source.split("\n")[found.span.line - 1][found.span.column - 1 : found.span.end_column - 1] == "time.time()"
