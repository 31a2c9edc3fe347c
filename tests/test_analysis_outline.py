"""The outline: steps, sleeps and waits in the order they are reached, with loops, branches and parallel groups around
them.
"""

import textwrap

import pytest

from playground.analysis import check, inspect
from playground.analysis.outline import NODES

HEAD = (
    "import asyncio\nfrom workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def "
    "run(self, event, step):\n"
)


def outline(code: str) -> list:
    return inspect(HEAD + textwrap.indent(textwrap.dedent(code).strip("\n"), " " * 8) + "\n")[1]


def drawn(nodes: list, level: int = 0) -> list[str]:
    """An outline as indented lines, to compare at a glance."""
    lines = []
    for node in nodes:
        lines.append("  " * level + f"{node['kind']} {node['name']}")
        lines.extend(drawn(node.get("children", []), level + 1))
    return lines


CASES = [
    (
        "direct forms, in order",
        """
        await step.do("a", lambda: 1)
        await step.sleep("b", "1 day")
        await step.wait_for_event("c", "paid")
        """,
        ["do a", "sleep b", "wait c"],
    ),
    (
        "a decorated step stands where it is called",
        """
        @step.do("first defined")
        async def one(): ...
        @step.do()
        async def two(): ...
        await two()
        await one()
        """,
        ["do two", "do first defined"],
    ),
    (
        "called again it is the same one",
        """
        @step.do()
        async def one(): ...
        await one()
        return [await one()]
        """,
        ["do one"],
    ),
    (
        "one that another asks for by the step's name",
        """
        @step.do("price")
        async def cheap(): ...
        @step.do()
        async def total(price): ...
        await total()
        """,
        ["do price", "do total"],
    ),
    (
        "handed to a helper that awaits it",
        """
        async def tried(function):
            return await function()
        @step.do()
        async def one(): ...
        await tried(one)
        """,
        ["do one"],
    ),
    (
        "one that nothing calls comes last",
        """
        @step.do()
        async def forgotten(): ...
        await step.sleep("s", "1 day")
        """,
        ["sleep s", "do forgotten"],
    ),
    (
        "loops",
        """
        for item in items:
            await step.do(f"item {item}", lambda: 1)
        while not (await step.do("ready", lambda: 1)):
            await step.sleep("s", "1 day")
        found = [await step.do("look", lambda: 1) for place in places]
        """,
        ["loop for item in items", "  do item {item}", "loop while not (await step.do(\"ready\", lambda: 1))",
         "  do ready", "  sleep s",
         "loop for place in places", "  do look"],
    ),
    (
        "branches",
        """
        if a:
            await step.do("yes", lambda: 1)
        elif b:
            await step.do("maybe", lambda: 1)
        else:
            await step.do("no", lambda: 1)
        match kind:
            case "x":
                await step.do("x", lambda: 1)
        x = await step.do("left", lambda: 1) if c else 2
        """,
        ["branch if a", "  do yes", "branch elif b", "  do maybe", "branch else", "  do no", 'branch case "x"',
         "  do x",
         "branch if c", "  do left"],
    ),
    (
        "a branch without steps is left out",
        """
        if a:
            print(1)
        await step.do("one", lambda: 1)
        """,
        ["do one"],
    ),
    (
        "handlers",
        """
        try:
            await step.do("one", lambda: 1)
        except ValueError:
            await step.do("cure", lambda: 1)
        finally:
            await step.do("end", lambda: 1)
        """,
        ["do one", "branch except ValueError", "  do cure", "do end"],
    ),
    (
        "gather of steps, of a comprehension, of a list kept in a name, of one filled in a loop",
        """
        @step.do()
        async def one(): ...
        await asyncio.gather(one(), step.do("two", lambda: 1))
        await asyncio.gather(*(step.do(f"p {x}", lambda: 1) for x in xs))
        kept = [step.do(f"q {x}", lambda: 1) for x in xs]
        filled = []
        for x in xs:
            filled.append(step.do(f"r {x}", lambda: 1))
        await asyncio.gather(*filled)
        await asyncio.gather(*kept)
        """,
        ["parallel gather", "  do one", "  do two", "parallel for x in xs", "  do p {x}", "parallel for x in xs",
         "  do r {x}",
         "parallel for x in xs", "  do q {x}"],
    ),
    (
        "gather of a map: of a helper, of a method, of a step, of a lambda, of several at once, and of what is no step",
        """
        @step.do()
        async def one(x): ...
        async def pack(item, extra=None):
            await step.do(f"pack {item}", lambda: 1)
        await asyncio.gather(*map(pack, items))
        await asyncio.gather(*list(map(self.weigh, items)))
        await asyncio.gather(*[*map(lambda it: step.do("l", lambda: it), items)], pack("last"))
        tasks = list(map(pack, items, extras))
        found = await step.do("found", lambda: [])
        await asyncio.gather(*map(one, found))
        await asyncio.gather(*tasks)
        await asyncio.gather(*map(str, items))
        """,
        ["parallel for item in items", "  do pack {item}", "parallel gather", "  parallel for it in items", "    do l",
         "  do pack last", "do found", "parallel for x in found", "  do one",
         "parallel for item, extra in zip(items, extras)", "  do pack {item}"],
    ),
    (
        "gather of lists and wait of one: each in a lane of its own",
        """
        await asyncio.gather(*[step.do("a", lambda: 1), step.do("b", lambda: 1)])
        await asyncio.wait([step.do("c", lambda: 1), step.do("d", lambda: 1)])
        await asyncio.gather(*[step.do(f"e {n}", lambda: 1) for n in range(3)])
        """,
        ["parallel gather", "  do a", "  do b", "parallel wait", "  do c", "  do d",
         "parallel for n in range(3)", "  do e {n}"],
    ),
    (
        "task group",
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(step.do("one", lambda: 1))]
            group.create_task(step.do("two", lambda: 1))
        await step.sleep("s", "1 day")
        """,
        ["parallel TaskGroup", "  do one", "  do two", "sleep s"],
    ),
    (
        "dependencies by parameter name, side by side when concurrent, a shared one before them",
        """
        @step.do()
        async def source(): ...
        @step.do()
        async def left(source): ...
        @step.do()
        async def right(source): ...
        @step.do(concurrent=True)
        async def joined(left, right): ...
        @step.do()
        async def last(joined): ...
        await last()
        """,
        ["do source", "parallel concurrent", "  do left", "  do right", "do joined", "do last"],
    ),
    (
        "helpers are looked through, each time they are called, with the texts they are given",
        """
        async def both(item, verb="take"):
            @step.do(f"{verb} {item}")
            async def one(): ...
            await one()
            await self.pack(item)
        await both("lamp", "pick")
        await asyncio.gather(both(item=f"rug {number}"), both(chosen))
        """,
        ["do pick lamp", "parallel gather", "  do {verb} rug {number}", "  do {verb} {item}"],
    ),
    (
        "a helper that calls itself ends",
        """
        async def again(n):
            await step.do("once", lambda: 1)
            await again(n - 1)
        await again(3)
        """,
        ["do once"],
    ),
    (
        "what an awaitable kept in a name is",
        """
        waiting = asyncio.create_task(step.wait_for_event("w", "paid"))
        await step.do("meanwhile", lambda: 1)
        await waiting
        """,
        ["do meanwhile", "wait w"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("code", "lines"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_draws(code, lines):
    assert drawn(outline(code)) == lines


def test_gives_lines_and_details():
    nodes = outline("""
        @step.do("charge",
                 config=None)
        async def charge():
            return 1

        await charge()
        await step.sleep("pause", "2 seconds")
        await step.wait_for_event(
            "approval", "approved"
        )
        for x in xs:
            await step.do("a" + x, lambda: 1)
    """)
    charge, pause, approval, loop = nodes
    # The decorator's line, as in the journal.
    assert charge == {
        "kind": "do",
        "name": "charge",
        "line": 5,
        "end_line": 8,
    }
    assert pause == {"kind": "sleep", "name": "pause", "line": 11, "end_line": 11, "duration": "2 seconds"}
    assert approval == {"kind": "wait", "name": "approval", "line": 12, "end_line": 14, "event_type": "approved"}
    assert (loop["line"], loop["end_line"]) == (15, 16)
    assert loop["children"] == [{"kind": "do", "name": "a{x}", "pattern": True, "line": 16, "end_line": 16}]


def test_names_made_of_each_other_end():
    assert drawn(outline("a = f'{b}'\nb = f'{a}'\nawait step.sleep(a, '1 day')")) == ["sleep {a}"]


def test_is_there_while_other_things_are_wrong():
    found = check(
        "class Mine(WorkflowEntrypoint):\n    async def run(self, event, step):\n        step.sleep('s', 5)\n"
    )
    assert [node["name"] for node in found["outline"]] == ["s"]
    assert "undefined-name" in [diagnostic["code"] for diagnostic in found["diagnostics"]]


def test_stays_bounded_when_helpers_call_helpers():
    helpers = "\n".join(f"async def h{n}():\n    await h{n + 1}()\n    await h{n + 1}()" for n in range(30))
    nodes = outline(helpers + "\nasync def h30():\n    await step.do('x', lambda: 1)\nawait h0()")
    assert len(drawn(nodes)) <= NODES + 1


def told(nodes: list, *fields: str) -> list:
    """Each node's name with what it says in these fields, those in it after it."""
    found = []
    for node in nodes:
        found.append((node["name"], *(node.get(field) for field in fields)))
        found.extend(told([*node.get("children", []), *node.get("inside", [])], *fields))
    return found


def test_branches_of_one_decision_are_told_from_those_of_the_next():
    nodes = outline("""
        if a:
            await step.do("1", lambda: 1)
        elif b:
            return await step.do("2", lambda: 1)
        else:
            await step.do("3", lambda: 1)
        if c:
            await step.do("4", lambda: 1)
        match d:
            case 1:
                await step.do("5", lambda: 1)
            case _:
                raise ValueError(await step.do("6", lambda: 1))
        e = await step.do("7", lambda: 1) if a else await step.do("8", lambda: 1)
    """)
    assert [(node["decision"], node["name"], node.get("ends", False)) for node in nodes] == [
        (1, "if a", False),
        (1, "elif b", True),
        (1, "else", False),
        (2, "if c", False),
        (3, "case 1", False),
        (3, "case _", True),
        (4, "if a", False),
        (4, "else", False),
    ]


def test_what_is_returned_early_and_what_is_left_are_one_decision():
    nodes = outline("""
        if a:
            await step.do("1", lambda: 1)
            return 1
        return await step.do("2", lambda: 1)
    """)
    assert told(nodes, "decision", "ends")[::2] == [("if a", 1, True), ("else", 1, True)]


def test_a_return_in_a_helper_leaves_the_helper_only():
    nodes = outline("""
        async def helper():
            if a:
                return await step.do("1", lambda: 1)
        await helper()
    """)
    assert "ends" not in nodes[0]


def test_handlers_say_how_much_before_them_is_tried():
    nodes = outline("""
        await step.do("before", lambda: 1)
        try:
            await step.do("1", lambda: 1)
            for _ in range(2):
                await step.do("2", lambda: 1)
        except ValueError:
            await step.do("3", lambda: 1)
        except KeyError:
            await step.do("4", lambda: 1)
        finally:
            await step.do("5", lambda: 1)
    """)
    assert [(node["name"], node.get("covers"), node.get("decision")) for node in nodes][3:] == [
        ("except ValueError", 2, 1),
        ("except KeyError", 2, 1),
        ("5", None, None),
    ]


@pytest.mark.parametrize(
    ("code", "lanes"),
    [
        (
            """
            async def both():
                await step.do("a", lambda: 1)
                await step.do("b", lambda: 1)
            await asyncio.gather(both(), step.do("c", lambda: 1))
            """,
            [("a", 0), ("b", 0), ("c", 1)],
        ),
        (
            'await asyncio.gather(*[step.do("a", lambda: 1), step.do("b", lambda: 1)], step.do("c", lambda: 1))',
            [("a", 0), ("b", 1), ("c", 2)],
        ),
        (
            """
            tasks = [step.do("a", lambda: 1), step.do("b", lambda: 1)]
            await asyncio.gather(*tasks, step.do("c", lambda: 1))
            """,
            [("a", 0), ("b", 1), ("c", 2)],
        ),
        (
            """
            async with asyncio.TaskGroup() as group:
                group.create_task(step.do("a", lambda: 1))
                group.create_task(step.do("b", lambda: 1))
            """,
            [("a", 0), ("b", 1)],
        ),
        (
            """
            tasks = []
            for n in range(3):
                tasks.append(step.do("a", lambda: 1))
            await asyncio.gather(*tasks, step.do("c", lambda: 1))
            """,
            [("for n in range(3)", 0), ("a", 0), ("c", 1)],
        ),
    ],
)
def test_what_runs_side_by_side_has_lanes(code, lanes):
    (parallel,) = [node for node in outline(code) if node["kind"] == "parallel"]
    assert told(parallel["children"], "lane") == lanes
    assert "each" not in parallel


@pytest.mark.parametrize(
    "given",
    [
        '*(step.do(f"{n}", lambda: 1) for n in range(3))',
        '*[step.do(f"{n}", lambda: 1) for n in range(3)]',
        '*map(lambda n: step.do(f"{n}", lambda: 1), range(3))',
    ],
)
def test_one_for_each_says_so(given):
    (parallel,) = outline(f"await asyncio.gather({given})")
    assert (parallel["name"], parallel["each"]) == ("for n in range(3)", True)
    (parallel,) = outline(f'await asyncio.gather({given}, step.do("last", lambda: 1))')
    assert [(child["name"], child["lane"]) for child in parallel["children"]] == [("for n in range(3)", 0), ("last", 1)]
    assert [child.get("each") for child in parallel["children"]] == [True, None]


def test_a_step_says_what_its_callback_calls_and_whether_that_starts_workflows():
    nodes = outline("""
        @step.do()
        async def outer():
            await step.do("inner", lambda: 1)
            @step.do()
            async def deep():
                await self.env.WORKFLOWS.create(params=1)
            await deep()
        async def again():
            await step.do("of the direct form", lambda: 1)
        await outer()
        await step.do("direct", again)
        await step.do("keeps", lambda: self.env.KV.get("create"))
    """)
    assert told(nodes[:3], "child") == [
        ("outer", None),
        ("inner", None),
        ("deep", True),
        ("direct", None),
        ("of the direct form", None),
        ("keeps", None),
    ]
    assert "inside" not in nodes[2]


def test_a_child_that_is_run_is_a_step_of_the_outline():
    nodes = outline("""
        await self.env.WORKFLOWS.run({"n": 1})
        await self.env.WORKFLOWS.run({"n": 2}, id="named")
        await asyncio.gather(*(self.env.WORKFLOWS.run({"n": n}, name=f"order {n}") for n in range(3)))
        await self.env.AI.run("model", {"prompt": "is no step"})
    """)
    assert [(node["kind"], node["name"]) for node in nodes] == [
        ("child", "child"),
        ("child", "named"),
        ("parallel", "for n in range(3)"),
    ]
    assert [(node["kind"], node["name"], node["pattern"]) for node in nodes[2]["children"]] == [
        ("child", "order {n}", True)
    ]


def test_requests_to_a_server_of_tools_are_steps_of_the_outline():
    nodes = outline("""
        courier = self.env.MCP
        await courier.list_tools()
        await courier.call_tool("quote", {"to": "Oslo"})
        await self.env.MCPS.get("other").call_tool(f"t{event['payload']}")
        await self.elsewhere.call_tool("is no step")
    """)
    assert [(node["kind"], node["name"]) for node in nodes] == [
        ("do", "list tools"),
        ("do", "call quote"),
        ("do", "call t{event['payload']}"),
    ]


def test_steps_in_steps_stay_bounded():
    code = "\n".join(
        f'async def s{n}():\n    await step.do("a{n}", s{n + 1})\n    await step.do("b{n}", s{n + 1})'
        for n in range(30)
    )
    nodes = outline(code + '\nasync def s30(): ...\nawait step.do("first", s0)\nawait step.do("last", lambda: 1)')
    assert [node["name"] for node in nodes] == ["first", "last"]
    assert len(told(nodes)) < 3 * NODES


def test_a_step_that_calls_itself_ends():
    nodes = outline("""
        async def again():
            await step.do("again", again)
        await step.do("first", again)
    """)
    assert told(nodes) == [("first",), ("again",)]
