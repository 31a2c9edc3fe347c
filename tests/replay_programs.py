"""Workflow programs for the property test of replay: what a node of a program stands for, as source.

tests/replay_kinds.py says which nodes there are, tests/replay_source.py what stands in every program.

A program is deterministic given the order in which its results come. So that this order is the same in every run of
it, no two things ever happen at the same time: each thing that takes time takes a whole number of `LONG` and one more
power of two of `UNIT_MS` that nothing else in the program takes, so that the sums of any two different sets of things
differ. What would take no time begins where its branch is alone.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import reject
from replay_source import ERRORS, HEAD, RETRIED, TAIL

Node = tuple[Any, ...]

UNIT_MS = 4
BITS = 20
LONG_MS = UNIT_MS << BITS  # 70 minutes


@dataclass
class Program:
    """A source, the events to send (milliseconds from the beginning, type, payload),
    and if it has timers of its own.
    """

    source: str
    sends: list[tuple[int, str, str]]
    own_timers: bool


@dataclass
class _Writer:
    """Gives out what must be unique in a program. `own_timers`: one was written that runs outside of steps."""

    bits: int = 0
    units: int = 0
    own_timers: bool = False
    settled: bool = field(
        default=False
    )  # whether the branch is past something that took time, and alone in its instant

    def unit(self) -> str:
        self.units += 1
        return f"u{self.units}"

    def milliseconds(self, long: int, *, times: int = 1) -> int:
        """A duration that nothing else has, which may pass up to so many times."""
        bit = self.bits
        self.bits += times.bit_length()
        if self.bits > BITS:
            reject()
        return long * LONG_MS + (UNIT_MS << bit)

    def seconds(self, long: int) -> float:
        return self.milliseconds(long) / 1000


def written(node: Node, sends: list[tuple[str, int]]) -> Program:
    """The program of a node, to which events of these types are sent after so many `LONG`."""
    writer = _Writer()
    body = _function("whole", node, writer) + TAIL.lstrip()
    source = HEAD + textwrap.indent(body, " " * 8)
    times = sorted((writer.milliseconds(long), type) for type, long in sends)
    return Program(source, [(at, type, f"{type} {place}") for place, (at, type) in enumerate(times)], writer.own_timers)


def _function(name: str, node: Node, writer: _Writer) -> str:
    return f"async def {name}():\n" + textwrap.indent(BODIES[node[0]](writer, *node[1:]).strip("\n"), "    ") + "\n"


def _parts(nodes: list[Node], writer: _Writer) -> tuple[str, list[str]]:
    """Functions for branches that begin together, and their calls."""
    text, settled = "", True
    for place, node in enumerate(nodes):
        writer.settled = False
        text += _function(f"part{place}", node, writer)
        settled &= writer.settled
    writer.settled = settled
    return text, [f"part{place}()" for place in range(len(nodes))]


def _tasks(calls: list[str]) -> str:
    made = "".join(f"    asyncio.create_task({call}, name={call[:-2]!r}),\n" for call in calls)
    return f"tasks = [\n{made}]\n"


# Leaves.


def _do(writer: _Writer, long: int, failures: int, how: int, name: str | None) -> str:
    unit = writer.unit()
    seconds = tuple(writer.seconds(long) for _ in range(failures + 1))
    delay = writer.milliseconds(0, times=failures) if failures else 0
    writer.settled = True
    return f"""
async def work():
    if await WORLD.work(run_id, "{unit}", {seconds}):
        raise {RETRIED[how].format(unit=unit)}
    return "{unit}"
got = await step.do("{name or unit}", work, config=patient({delay}))
seen.append(got)
return got
"""


def _quick(writer: _Writer, name: str | None) -> str:
    if not writer.settled:
        return _do(writer, 0, 0, 0, name)
    unit = writer.unit()
    return f"""
got = await step.do("{name or unit}", lambda: WORLD.done(run_id, "{unit}"))
seen.append(got)
return got
"""


def _patched(writer: _Writer, name: str | None) -> str:
    """A place whose code was changed before the run began: every execution takes the new way."""
    if not writer.settled:
        return _do(writer, 0, 0, 0, name)
    unit = writer.unit()
    return f'''
got = "{unit} new" if step.patched("{unit}") else "{unit} old"
seen.append(got)
return got
'''


def _sleep(writer: _Writer, long: int, name: str | None) -> str:
    unit, duration = writer.unit(), writer.milliseconds(long)
    writer.settled = True
    return f'await step.sleep("{name or unit}", {duration})\nseen.append("{unit}")\nreturn "{unit}"'


def _pause(writer: _Writer, long: int) -> str:
    writer.own_timers = writer.settled = True
    unit = writer.unit()
    return f'await asyncio.sleep({writer.seconds(long)})\nseen.append("{unit}")\nreturn "{unit}"'


def _wait(writer: _Writer, type: str, long: int, name: str | None) -> str:
    unit, timeout = writer.unit(), writer.milliseconds(long + 1)
    writer.settled = False  # an event may have been there already
    return f"""
try:
    got = (await step.wait_for_event("{name or unit}", "{type}", timeout={timeout}))["payload"]
except WorkflowTimeoutError as error:
    got = str(error)
seen.append(["{unit}", got])
return got
"""


def _hang(writer: _Writer, long: int, times: int) -> str:
    """A step that times out. A crash gives its attempt a fresh timeout, so it stands where nothing else goes on."""
    unit, timeout = writer.unit(), writer.milliseconds(long, times=times)
    delay = writer.milliseconds(0, times=times)
    writer.settled = True
    return f"""
try:
    got = await step.do("{unit}", lambda: WORLD.hang(run_id, "{unit}", {times}),
        config={{"retries": {{"limit": 1, "delay": {delay}, "backoff": "constant"}}, "timeout": {timeout}}})
except WorkflowTimeoutError as error:
    got = str(error)
seen.append(["{unit}", got])
return got
"""


def _error(writer: _Writer, long: int, which: str, style: str) -> str:
    unit, seconds = writer.unit(), writer.seconds(long)
    statements, caught = ERRORS[which]
    raised = textwrap.indent(statements.replace("{unit}", unit).strip(), "    ")
    writer.settled = True
    if style == "returned" and which not in ("exit", "cancelled"):
        asked = f"""[got] = await asyncio.gather(step.do("{unit}", work, config=ONCE), return_exceptions=True)
got = told(got)"""
    elif style == "group" and which not in ("exit", "cancelled", "group"):
        asked = f"""try:
    async with asyncio.TaskGroup() as group:
        group.create_task(step.do("{unit}", work, config=ONCE))
except* {caught} as errors:
    got = told(errors)"""
    else:
        asked = f"""try:
    got = await step.do("{unit}", work, config=ONCE)
except {caught} as error:
    if isinstance(error, asyncio.CancelledError) and not error.args:
        raise  # somebody else's, who cancels this branch
    got = told(error)"""
    return f"""
async def work():
    await WORLD.work(run_id, "{unit}", ({seconds},))
{raised}
{asked}
seen.append(got)
return got
"""


def _fails(writer: _Writer, long: int) -> str:
    """A branch that ends with an error."""
    unit, seconds = writer.unit(), writer.seconds(long)
    writer.settled = True
    return f"""
async def work():
    await WORLD.work(run_id, "{unit}", ({seconds},))
    raise LookupError("{unit} fails")
return await step.do("{unit}", work, config=ONCE)
"""


# What is made of others.


def _sequence(writer: _Writer, nodes: list[Node]) -> str:
    text = "".join(_function(f"part{place}", node, writer) for place, node in enumerate(nodes))
    return text + f"return [{', '.join(f'await part{place}()' for place in range(len(nodes)))}]"


def _gather(writer: _Writer, nodes: list[Node]) -> str:
    text, calls = _parts(nodes, writer)
    return text + f"return list(await asyncio.gather({', '.join(calls)}))"


def _group(writer: _Writer, nodes: list[Node]) -> str:
    text, calls = _parts(nodes, writer)
    unit = writer.unit()
    return f"""{text}
tasks = []
try:
    async with asyncio.TaskGroup() as group:
        for call in ({", ".join(call[:-2] for call in calls)},):
            tasks.append(group.create_task(call()))
except* LookupError as errors:
    seen.append(["{unit}", [str(it) for it in errors.exceptions]])
return [result(task) for task in tasks]
"""


def _first(writer: _Writer, nodes: list[Node], when: str, then: str) -> str:
    text, calls = _parts(nodes, writer)
    unit = writer.unit()
    cancel = "for task in tasks:\n    task.cancel()\n" if then == "call off" else ""
    return f"""{text}
{_tasks(calls)}
done, _ = await calling_off(tasks, asyncio.wait(tasks, return_when=asyncio.{when}))
seen.append(["{unit}", sorted(task.get_name() for task in done)])
{cancel}await calling_off(tasks, asyncio.wait(tasks))
return [result(task) for task in tasks]
"""


def _each(writer: _Writer, nodes: list[Node], long: int | None) -> str:
    text, calls = _parts(nodes, writer)
    unit = writer.unit()
    seconds = [writer.seconds(long) if long is not None else 0 for _ in nodes]
    return f"""{text}
{_tasks(calls)}
async def stored():
    order = []
    for place, next_one in enumerate(asyncio.as_completed(tasks)):
        got = await next_one
        order.append(got)
        async def store():
            await WORLD.work(run_id, f"{unit}:{{place}}", ({seconds}[place],))
            return f"{unit}:{{place}} {{got}}"
        seen.append(await step.do("store", store, config=patient(0)))
    return order
return await calling_off(tasks, stored())
"""


def _timeout(writer: _Writer, node: Node, long: int, style: str) -> str:
    writer.settled, writer.own_timers = False, True
    text = _function("part", node, writer)
    unit, seconds = writer.unit(), writer.seconds(long)
    asked = {
        "timeout": f"async with asyncio.timeout({seconds}):\n        got = await part()",
        "wait_for": f"got = await asyncio.wait_for(part(), {seconds})",
    }[style]
    return f"""{text}
try:
    {asked}
except TimeoutError:
    got = "timed out"
    seen.append("{unit}")
return got
"""


def _cancel(writer: _Writer, node: Node, meanwhile: Node) -> str:
    writer.settled = False
    text = _function("part", node, writer)
    writer.settled = False
    text += _function("meanwhile", meanwhile, writer)
    return f"""{text}
task = asyncio.create_task(part())
await calling_off([task], meanwhile())
task.cancel()
await asyncio.wait([task])
return result(task)
"""


def _cleanup(writer: _Writer, node: Node) -> str:
    text = _function("part", node, writer)
    unit = writer.unit()
    return f"""{text}
try:
    return await part()
except asyncio.CancelledError:
    late.append(await step.do("clean {unit}", lambda: WORLD.done(run_id, "{unit}")))
    raise
"""


def _nested(
    writer: _Writer, name: str | None, inner: list[tuple[str | None, int]], failures: int, together: bool
) -> str:
    unit = writer.unit()
    text, calls = "", []
    for place, (inner_name, long) in enumerate(inner):
        part = writer.unit()
        text += f"""
    async def inner{place}():
        await WORLD.work(run_id, "{part}", ({writer.seconds(long)},))
        return "{part}"
"""
        calls.append(f'step.do("{inner_name or part}", inner{place}, config=patient(0))')
    before, seconds = writer.seconds(0), tuple(writer.seconds(0) for _ in range(failures + 1))
    delay = writer.milliseconds(0, times=failures) if failures else 0
    writer.settled = True
    got = (
        f"list(await asyncio.gather({', '.join(calls)}))"
        if together
        else f"[{', '.join(f'await {call}' for call in calls)}]"
    )
    return f"""
async def outer():
    await WORLD.work(run_id, "{unit}:0", ({before},))
{text}
    got = {got}
    if await WORLD.work(run_id, "{unit}", {seconds}):
        raise ConnectionError("{unit} is not ready")
    return "{unit} " + " ".join(got)
got = await step.do("{name or unit}", outer, config=patient({delay}))
seen.append(got)
return got
"""


def _pipelines(writer: _Writer, longs: list[int], titled: str) -> str:
    """Branches that decorate functions of the same names, the second depending on the first."""
    load, save = writer.unit(), writer.unit()
    loads, saves = [writer.seconds(long) for long in longs], [writer.seconds(0) for _ in longs]
    title = {"own": 'f"{word} {{i}}", ', "shared": '"{word}", ', "none": ""}[titled]
    writer.settled = True
    return f"""
async def pipeline(i):
    @step.do({title.format(word="load")}config=patient(0))
    async def load():
        await WORLD.work(run_id, f"{load}:{{i}}", ({loads}[i],))
        return f"{load}:{{i}}"
    @step.do({title.format(word="save")}config=patient(0))
    async def save(load):
        await WORLD.work(run_id, f"{save}:{{i}}", ({saves}[i],))
        return f"{save}:{{i}} of {{load}}"
    got = await save()
    seen.append(got)
    return got
return list(await asyncio.gather(*(pipeline(i) for i in range({len(longs)}))))
"""


def _rounds(writer: _Writer, longs: list[int]) -> str:
    """Functions that are decorated again in each round of a loop, and called after it."""
    load, save = writer.unit(), writer.unit()
    loads, saves = [writer.seconds(long) for long in longs], [writer.seconds(0) for _ in longs]
    writer.settled = True
    return f"""
made = []
for i in range({len(longs)}):
    @step.do(f"load {{i}}", config=patient(0))
    async def load(i=i):
        await WORLD.work(run_id, f"{load}:{{i}}", ({loads}[i],))
        return f"{load}:{{i}}"
    @step.do(f"save {{i}}", config=patient(0))
    async def save(load, i=i):
        await WORLD.work(run_id, f"{save}:{{i}}", ({saves}[i],))
        return f"{save}:{{i}} of {{load}}"
    made.append(save)
got = [await one() for one in made]
seen.append(got)
return got
"""


def _poll(writer: _Writer, longs: list[int]) -> str:
    """One decorated step that is called in each round of a loop."""
    unit = writer.unit()
    seconds = [writer.seconds(long) for long in longs]
    naps = [writer.milliseconds(0) for _ in longs]
    writer.settled = True
    return f"""
@step.do("ask {unit}", config=patient(0))
async def ask(ctx):
    count = ctx["step"]["count"]
    await WORLD.work(run_id, f"{unit}:{{count}}", ({seconds}[count - 1],))
    return f"{unit}:{{count}}"
said = []
for nap in {naps}:
    said.append(await ask())
    await step.sleep("before asking again", nap)
seen.append(said)
return said
"""


def _titled(writer: _Writer, long: int) -> str:
    """A parameter that is named like a step, not like its function."""
    unit, seconds = writer.unit(), writer.seconds(long)
    writer.settled = True
    return f"""
@step.do("price", config=patient(0))
async def cheap():
    await WORLD.work(run_id, "{unit}:0", ({seconds},))
    return "{unit}:0"
@step.do("price")
async def dear():
    return "{unit}:1"
@step.do("total {unit}")
async def total(price):
    return "{unit}:2 of " + price
got = [await cheap(), await dear(), await total()]
seen.append(got)
return got
"""


def _set(writer: _Writer, words: list[str], sleeps: bool) -> str:
    unit = writer.unit()
    nap = f'await step.sleep("nap {unit}", {writer.milliseconds(0)})' if sleeps else ""
    before = "" if writer.settled else f'await step.sleep("before {unit}", {writer.milliseconds(0)})'
    writer.settled = True
    return f"""
{before}
asked = {{}}
for word in set({words}):
    asked[word] = await step.do("measure", lambda: "reading of " + word)
{nap}
for word in frozenset({words}):
    asked[word] += await step.do("measure", lambda: " and of " + word)
seen.append(sorted(asked.items()))
return asked
"""


BODIES: dict[str, Callable[..., str]] = {
    "do": _do,
    "quick": _quick,
    "patched": _patched,
    "sleep": _sleep,
    "pause": _pause,
    "wait": _wait,
    "hang": _hang,
    "error": _error,
    "fails": _fails,
    "sequence": _sequence,
    "gather": _gather,
    "group": _group,
    "first": _first,
    "each": _each,
    "timeout": _timeout,
    "cancel": _cancel,
    "cleanup": _cleanup,
    "nested": _nested,
    "pipelines": _pipelines,
    "rounds": _rounds,
    "poll": _poll,
    "titled": _titled,
    "set": _set,
}
