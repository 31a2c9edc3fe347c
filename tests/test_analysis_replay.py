"""The durable lint on traps of replay: state that a step changes, the order of sets, races, timeouts around steps,
steps inside steps.

tests/analysis_support.py says how a case is marked.
"""

import pytest
from analysis_support import check_alone, check_case, program

from playground.analysis import inspect

CASES = [
    # state.py
    ("nonlocal counted", "state-in-step",
     "total = 0\nasync def add():\n    nonlocal total\n    «total» += 5\nawait step.do('add', add)\nreturn total"),
    ("nonlocal set", "state-in-step",
     "found = None\n@step.do()\nasync def look():\n    nonlocal found\n    «found» = 'it'\nawait look()\nreturn found"),
    ("append", "state-in-step",
     "items = []\n@step.do()\nasync def add():\n    «items.append('a')»\nawait add()\nreturn items"),
    ("append in a lambda", "state-in-step",
     "items = []\nawait step.do('add', lambda: «items.append('a')»)\nreturn items"),
    ("a key set", "state-in-step",
     "seen = {}\n@step.do()\ndef look():\n    «seen['a']» = 1\nawait look()\nreturn seen"),
    ("a key counted", "state-in-step",
     "seen = {'a': 0}\n@step.do()\ndef look():\n    «seen['a']» += 1\nawait look()\nreturn seen"),
    ("a key deleted", "state-in-step",
     "left = {'a': 0}\n@step.do()\ndef look():\n    del «left['a']»\nawait look()\nreturn left"),
    ("add to a set", "state-in-step",
     "seen = set()\nawait step.do('s', lambda: «seen.add(1)»)\nif 1 in seen:\n    return 1"),
    ("deeper", "state-in-step",
     "tree = {'leaves': []}\nawait step.do('s', lambda: «tree['leaves'].append(1)»)\nreturn tree"),
    ("setdefault", "state-in-step",
     "by = {}\nawait step.do('s', lambda: «by.setdefault('a', []).append(1)»)\nreturn by"),
    ("sort", "state-in-step", "items = [2, 1]\nawait step.do('s', lambda: «items.sort()»)\nreturn items"),
    ("heap", "state-in-step",
     "import heapq\nheap = []\nawait step.do('s', lambda: «heapq.heappush(heap, 1)»)\nreturn heap"),
    ("self", "state-in-step",
     "self.count = 0\nasync def add():\n    «self.count» += 1\nawait step.do('add', add)\nreturn self.count"),
    ("a list of self", "state-in-step",
     "self.items = []\nawait step.do('add', lambda: «self.items.append(1)»)\nreturn self.items"),
    ("a list of the module", "state-in-step",
     "LOG = []\n---\nawait step.do('s', lambda: «LOG.append(1)»)\nreturn len(LOG)"),
    ("a global", "state-in-step",
     "COUNT = 0\n---\nasync def add():\n    global COUNT\n    «COUNT» = 3\nawait step.do('s', add)\nreturn COUNT"),
    ("an attribute of the class", "state-in-step",
     ("await step.do('s', lambda: setattr)\nasync def add():\n    «TenantWorkflow.runs» = 5\nawait step.do('a', add)\n"
      "return self.runs")),
    ("read by another step", "state-in-step",
     ("order = {}\nawait step.do('one', lambda: «order.update(paid=True)»)\n"
      "await step.do('two', lambda: order['paid'])")),
    ("changed by a helper of the step", "state-in-step",
     ("items = []\ndef note(text):\n    «items.append(text)»\nasync def add():\n    note('a')\n"
      "await step.do('add', add)\nreturn items")),
    ("changed after it was loaded by a step", "state-in-step",
     ("order = await step.do('load', lambda: {})\nasync def charge():\n    «order['paid']» = True\n"
      "await step.do('charge', charge)\nreturn order")),
    ("read before, in the next turn of a loop", "state-in-step",
     ("seen = []\nfor item in 'ab':\n    print(len(seen))\n"
      "    await step.do(f'see {item}', lambda item=item: «seen.append(item)»)")),
    ("a default of the lambda", "state-in-step",
     "items = []\nawait step.do('s', lambda items=items: «items.append(1)»)\nreturn items"),
    ("functools.partial", "state-in-step",
     ("import functools\nitems = []\ndef add(what):\n    «items.append(what)»\n"
      "await step.do('s', functools.partial(add, 'a'))\nreturn items")),
    ("an event of asyncio", "state-in-step",
     "ready = asyncio.Event()\nasync def warm():\n    «ready.set()»\nawait step.do('warm', warm)\nawait ready.wait()"),
    ("an iterator", "state-in-step",
     "import itertools\nids = itertools.count()\na = await step.do('s', lambda: «next(ids)»)\nreturn [a, next(ids)]"),
    # counting in what ends with the process
    ("a global counted in run", "global-state", "RUNS = 0\n---\nglobal RUNS\n«RUNS» += 1\nreturn RUNS"),
    ("a global counted in a step only", "global-state",
     ("TRIES = 0\n---\nasync def flaky():\n    global TRIES\n    «TRIES» = TRIES + 1\n    if TRIES < 3:\n"
      "        raise ValueError\nawait step.do('s', flaky)")),
    ("a list of the module in a helper", "global-state",
     "SEEN = set()\ndef note(id):\n    «SEEN.add(id)»\n---\nnote(event['instanceId'])\nreturn len(SEEN)"),
    ("a counter of the class", "global-state", "«TenantWorkflow.runs» += 1"),
    ("a count of the module", "global-state", "import itertools\nIDS = itertools.count()\n---\nreturn «next(IDS)»"),
    # order.py
    ("a name bound to a set", "set-order",
     ("cities = set(event['payload'])\nfor city in «cities»:\n    await step.do('ask', lambda: city) => "
      "for city in sorted(cities):")),
    ("a set literal", "set-order",
     "for city in «{'Oslo', 'Rome'}»:\n    await step.do(city, lambda: 1) => for city in sorted({'Oslo', 'Rome'}):"),
    ("a set filled later", "set-order",
     ("seen = set()\nseen.add('a')\nfor one in «seen»:\n    await step.sleep(one, '1 second') => "
      "for one in sorted(seen):")),
    ("what sets make", "set-order",
     ("old, new = event['payload']\nfor one in «set(new) - set(old)»:\n    await step.do(one, lambda: 1) => "
      "for one in sorted(set(new) - set(old)):")),
    ("keys that two dicts share", "set-order",
     ("a, b = event['payload']\nfor one in «a.keys() & b.keys()»:\n    await step.do(one, lambda: 1) => "
      "for one in sorted(a.keys() & b.keys()):")),
    ("union", "set-order",
     ("tags = {'a'}\nfor one in «tags.union('bc')»:\n    await step.do(one, lambda: 1) => "
      "for one in sorted(tags.union('bc')):")),
    ("a comprehension", "set-order",
     ("names = set(event['payload'])\nawait asyncio.gather(*[step.do(n, lambda n=n: n) for n in «names»]) => "
      "await asyncio.gather(*[step.do(n, lambda n=n: n) for n in sorted(names)])")),
    ("enumerate", "set-order",
     ("names = frozenset('ab')\nfor i, n in enumerate(«names»):\n    await step.do(f'{i}', lambda: 1) => "
      "for i, n in enumerate(sorted(names)):")),
    ("a list of a set", "set-order",
     "names = list(set('ab'))\nfor n in «names»:\n    await step.do(n, lambda: 1) => for n in sorted(names):"),
    ("a list made from a set", "set-order",
     ("names = set('ab')\nlong = [n * 2 for n in names]\nfor n in «long»:\n    await step.do(n, lambda: 1) => "
      "for n in sorted(long):")),
    ("a generator made from a set", "set-order",
     ("names = set('ab')\nfor n in «(n * 2 for n in names)»:\n    await step.do(n, lambda: 1) => "
      "for n in sorted(n * 2 for n in names):")),
    ("a helper that makes steps", "set-order",
     ("async def ship(item):\n    await step.do(f'ship {item}', lambda: 1)\nitems = set('ab')\nfor item in «items»:\n"
      "    await ship(item) => for item in sorted(items):")),
    ("map over a helper", "set-order",
     ("async def ship(item):\n    await step.do(f'ship {item}', lambda: 1)\nitems = set('ab')\n"
      "await asyncio.gather(*map(ship, «items»)) => await asyncio.gather(*map(ship, sorted(items)))")),
    ("a parameter that says it is a set", "set-order",
     ("async def ship(items: set[str]):\n    for item in «items»:\n        await step.do(f'ship {item}', lambda: 1)\n"
      "await ship({'a'}) => for item in sorted(items):")),
    ("id in a name", "id-of-object", "box = object()\nawait step.do(f'box {«id(box)»}', lambda: 1)"),
    ("id that chooses", "id-of-object",
     "a, b = [], []\nif «id(a)» < id:\n    await step.do('s', lambda: 1)".replace("< id:", "< 5:")),
    ("id as a key", "id-of-object",
     "for item in sorted(event['payload'], «key=id»):\n    await step.do(str(item), lambda: 1)"),
    ("hash in a name", "hash-of-object",
     ("await step.do(f'shard {«hash(event['payload']['x'])» % 4}', lambda: "
      "1)").replace("event['payload']['x']", "event.payload")),
    ("hash kept in a name", "hash-of-object",
     "shard = «hash(event.payload)» % 4\nif shard == 1:\n    await step.do('s', lambda: 1)"),
    # races.py
    ("as_completed", "first-come", "for one in «asyncio.as_completed»([step.do('a', lambda: 1)]):\n    await one"),
    ("FIRST_COMPLETED", "first-come",
     ("a = asyncio.create_task(step.do('a', lambda: 1))\n"
      "await asyncio.wait([a], return_when=«asyncio.FIRST_COMPLETED»)")),
    ("a timeout around a wait", "timeout-around-step",
     "async with «asyncio.timeout(5)»:\n    await step.wait_for_event('a', 'b')"),
    ("a timeout around a helper", "timeout-around-step",
     "async def ship():\n    await step.do('ship', lambda: 1)\nasync with «asyncio.timeout(5)»:\n    await ship()"),
    ("wait_for", "timeout-around-step",
     "with suppress(TimeoutError):\n    await «asyncio.wait_for(step.do('a', lambda: 1), 30)»"),
    ("wait_for a task", "timeout-around-step",
     "slow = asyncio.create_task(step.do('a', lambda: 1))\nawait «asyncio.wait_for(slow, timeout=30)»"),
    ("wait with a timeout", "timeout-around-step",
     "slow = asyncio.create_task(step.do('a', lambda: 1))\nawait «asyncio.wait([slow], timeout=30)»"),
    # nested.py
    ("a step in a step", "step-in-step",
     "async def outer():\n    return await «step.do»('inner', lambda: 1)\nawait step.do('outer', outer)"),
    ("a step in a lambda", "step-in-step", "await step.do('outer', lambda: «step.do»('inner', lambda: 1))"),
    ("a sleep in a step", "step-in-step",
     "@step.do()\nasync def outer():\n    await «step.sleep»('a', '1 second')\nawait outer()"),
    ("a decorated step in a step", "step-in-step",
     "@step.do()\nasync def inner(): ...\n@step.do()\nasync def outer():\n    await «inner»()\nawait outer()"),
    ("a helper used in a step and outside", "step-in-step",
     ("async def fetch(what):\n    return await step.do('fetch', lambda: what)\nasync def both():\n"
      "    return await «fetch»('list')\nawait step.do('load', both)\nawait fetch('detail')")),
    ("a helper used in a step only", "step-in-step",
     ("async def fetch(what):\n    return await «step.do»('fetch', lambda: what)\nasync def both():\n"
      "    return await fetch('list')\nawait step.do('load', both)")),
    ("a child in a step", "child-in-step",
     "@step.do()\nasync def pack():\n    return await «self.env.WORKFLOWS.run»({'child': True})\nawait pack()"),
    ("a child in a lambda", "child-in-step",
     "await step.do('pack', lambda: «self.env.WORKFLOWS.run»({'child': True}, name='one'))"),
    ("a child in a helper of a step", "child-in-step",
     ("async def one(n):\n    return await «self.env.WORKFLOWS.run»({'n': n})\nasync def all_of_them():\n"
      "    return await asyncio.gather(*(one(n) for n in range(3)))\nawait step.do('pack', all_of_them)")),
]  # fmt: skip
IDS = [f"{case[1]}: {case[0]}" for case in CASES]


@pytest.mark.parametrize(("code", "text"), [case[1:] for case in CASES], ids=IDS)
def test_finds_it_where_it_stands_and_cures_it(code, text):
    check_case(code, text)


@pytest.mark.parametrize(("code", "text"), [case[1:] for case in CASES], ids=IDS)
def test_says_nothing_else_that_is_wrong_by_the_way(code, text):
    check_alone(code, text)


METHODS = """
from workers import WorkflowEntrypoint

class Steps:
    async def add(self):
        self.total = 5

class TenantWorkflow(Steps, WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("add", self.add)
        return self.total
"""


def test_a_method_that_is_a_callback_changes_the_workflow_s_object():
    (found,) = inspect(METHODS)[0]
    assert (found.code, found.span.line, found.span.column, found.span.end_column) == ("state-in-step", 6, 9, 19)
    assert "line 11 sees it as it was" in found.message


def test_a_step_in_a_step_loses_what_it_changes_of_the_outer_one():
    code = (
        "async def outer():\n    got = []\n    await step.do('inner', lambda: got.append(1))\n    return got\nawait "
        "step.do('outer', outer)"
    )
    assert {found.code for found in inspect(program(code))[0]} == {"state-in-step", "step-in-step"}


def messages(code: str) -> list[str]:
    return [found.message for found in inspect(program(code))[0]]


def test_state_is_told_with_the_line_that_reads_it():
    code = "total = 0\nasync def add():\n    nonlocal total\n    total += 5\nawait step.do('add', add)\nreturn total"
    line = program(code).split("\n").index("        return total") + 1
    (message,) = messages(code)
    assert message.startswith("A replay does not have this change of `total`: it reads the step from the journal")
    assert f"line {line} sees it as it was" in message


def test_a_timeout_is_told_with_the_step_s_own_written_out():
    (message,) = messages("async with asyncio.timeout(90):\n    await step.do('a', lambda: 1)")
    assert message.endswith('The step\'s own timeout is stored: `config={"timeout": "90 seconds"}` (for each attempt).')
    (message,) = messages("await asyncio.wait_for(step.wait_for_event('a', 'b'), 60)")
    assert message.endswith('The step\'s own timeout is stored: `wait_for_event(…, timeout="1 minute")`.')


def test_a_step_in_a_step_is_told_with_the_name_of_the_outer_one():
    (message,) = messages("await step.do('outer', lambda: step.do('inner', lambda: 1))")
    assert message.startswith("A step inside `outer`: it is one of its own")


def test_steps_of_one_name_are_counted_apart_where_one_stands_in_a_step():
    code = (
        "async def load():\n    return await step.do('fetch', lambda: 1)\nawait step.do('load', load)\nawait "
        "step.do('fetch', lambda: 2)"
    )
    assert [found.code for found in inspect(program(code))[0]] == ["step-in-step"]
