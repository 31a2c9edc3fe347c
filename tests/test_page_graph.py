"""The graph of a workflow without a browser: what the outline becomes, where its nodes stand, how a run lies over
it.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_code_support import node, node_function

from playground.analysis import inspect

LAYOUT = """
import { modelOf } from "RUN/graph-model.js";
import { layout } from "RUN/graph-layout.js";
const folded = (node) => (given.folded ?? []).includes(node.id);
const { items, edges, height } = layout(modelOf(given.outline), { width: given.width, tall: given.tall ?? 28, folded });
const at = new Map(items.map((item, index) => [item, index]));
return { height, edges: edges.map(({ path, thick }) => ({ path, thick })), items: items.map((item) => ({
  id: item.node.id, kind: item.node.kind, name: item.node.name, level: item.level, up: item.up ? at.get(item.up) : null,
  x: item.x, y: item.y, w: item.w, h: item.h, frame: item.frame, label: Boolean(item.label) })) };
"""
TREE = """
import { modelOf } from "RUN/graph-model.js";
const lines = [];
const draw = (node, level) => {
  const words = [node.kind, node.name, node.ends && "ends", node.open && "open"];
  lines.push("  ".repeat(level) + words.filter(Boolean).join(" "));
  for (const child of [...node.children, ...(node.arms ?? [])]) draw(child, level + 1);
};
for (const child of modelOf(given).children) draw(child, 0);
return lines;
"""
STANDING = """
import { modelOf, walk } from "RUN/graph-model.js";
import { Placement, standing } from "RUN/graph-overlay.js";
import { keyOf, meanPercent, stepMs } from "RUN/fold.js";
const model = modelOf(given.outline);
const placement = new Placement(model, { keyOf, stepMs });
const rows = given.rows.map((row) => ({ attempts: [], startedAt: 0, endedAt: 5, endedSeq: 2, count: 1, parent: null,
  status: "completed", ...row, key: keyOf({ count: 1, ...row }) }));
const state = { generation: 1, rows, executions: [{ startedSeq: 1 }], parts: new Map() };
const began = performance.now();
const { steps } = placement.place(state);
const stands = standing(model, steps, state, false, { keyOf, stepMs, meanPercent });
const took = performance.now() - began;
const told = [...walk(model)].filter(([node]) => node.name).map(([node]) => {
  const { status, count, done, failed, open, turns } = stands.get(node.id);
  return [node.name, status, count, done, failed, open, turns];
});
return { told, took };
"""
HEAD = (
    "import asyncio\nfrom workers import WorkflowEntrypoint\nclass TenantWorkflow(WorkflowEntrypoint):\n"
    "    async def run(self, event, step):\n"
)
PROGRAM = """
titles = await step.do("fetch", lambda: 1)
if titles:
    await step.do("reserve", lambda: 1)
elif event:
    return await step.do("give up", lambda: 1)
else:
    await step.do("nothing", lambda: 1)
async def transcode(title):
    @step.do(f"transcode {title}")
    async def one(): ...
    await one()
await asyncio.gather(*(transcode(title) for title in titles))
try:
    await step.do("warm", lambda: 1)
except ValueError:
    await step.do("purge", lambda: 1)
async def polish():
    while titles:
        await step.do("check", lambda: 1)
    await step.sleep("breathe", 1)
await asyncio.gather(polish(), step.wait_for_event("approved", "approved"))
if titles:
    await step.do("archive", lambda: 1)
@step.do("book trip")
async def trip():
    await step.do("flight", lambda: 1)
    @step.do("hotel")
    async def hotel(): ...
    await hotel()
await trip()
"""


def outline(program: str) -> list[dict[str, Any]]:
    lines = (f"        {line}\n" for line in program.strip().splitlines())
    found: list[dict[str, Any]] = inspect(HEAD + "".join(lines))[1]
    return found


def test_an_outline_becomes_a_tree_of_what_follows_what_is_chosen_and_what_runs_side_by_side() -> None:
    assert node(TREE, outline(PROGRAM)) == [
        "step fetch",
        "decision",
        "  arm if titles",
        "    step reserve",
        "  arm elif event ends",
        "    step give up",
        "  arm else",
        "    step nothing",
        "fan for title in titles",
        "  step transcode {title}",
        "try",
        "  step warm",
        "  arm except ValueError",
        "    step purge",
        "parallel gather",
        "  lane",
        "    loop while titles",
        "      step check",
        "    step breathe",
        "  lane",
        "    step approved",
        "decision open",
        "  arm if titles",
        "    step archive",
        "step book trip",
        "  step flight",
        "  step hotel",
    ]


def test_an_outline_made_before_these_fields_is_drawn_too() -> None:
    old = [
        {"kind": "branch", "name": "if a", "line": 1, "children": [{"kind": "do", "name": "x", "line": 2}]},
        {"kind": "branch", "name": "else", "line": 3, "children": [{"kind": "do", "name": "y", "line": 4}]},
        {"kind": "parallel", "name": "gather", "line": 5, "children": [{"kind": "do", "name": "z", "line": 5}]},
        {"kind": "of the future", "name": "?", "line": 6, "children": []},
    ]
    lines = node(TREE, old)
    assert [line.strip() for line in lines if "step" in line] == ["step x", "step y", "step z"]


@pytest.fixture(scope="module")
def laid() -> Iterator[Any]:
    with node_function(LAYOUT) as call:
        yield call


NUMBERS = itertools.count()  # of decisions: no two may be taken for one
NAMES = st.sampled_from(["a", "charge card", "x" * 90])
LEAVES = st.builds(lambda kind, name: {"kind": kind, "name": name, "line": 1}, st.sampled_from(["do", "wait"]), NAMES)


def containers(inner: st.SearchStrategy[list[dict[str, Any]]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Lists of entries, some of which hold lists of entries."""

    def group(kind: str, **more: Any) -> Any:
        return lambda children: [{"kind": kind, "name": kind, "line": 1, "children": children, **more}]

    def lanes(children: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
        own = [each | {"lane": lane} for lane, way in enumerate(children) for each in way]
        return group("parallel")(own)  # type: ignore[no-any-return]

    def arms(parts: list[tuple[list[dict[str, Any]], bool]], otherwise: bool) -> list[dict[str, Any]]:
        number = next(NUMBERS)
        return [
            {
                "kind": "branch",
                "name": "else" if otherwise and index == len(parts) - 1 else f"if condition {index}",
                "line": 1,
                "decision": number,
                "children": children,
                **({"ends": True} if ends else {}),
            }
            for index, (children, ends) in enumerate(parts)
        ]

    def tried(body: list[dict[str, Any]], handlers: list[tuple[list[dict[str, Any]], bool]]) -> list[dict[str, Any]]:
        return body + [one | {"covers": len(body)} for one in arms(handlers, False)]

    arm = st.tuples(inner, st.booleans())
    one = st.one_of(
        inner.map(group("loop")),
        inner.map(group("parallel", each=True)),
        inner.map(lambda inside: [{"kind": "do", "name": "outer", "line": 1, "inside": inside}]),
        st.lists(inner, min_size=1, max_size=4).map(lanes),
        st.builds(arms, st.lists(arm, min_size=1, max_size=4), st.booleans()),
        st.builds(tried, inner, st.lists(arm, min_size=1, max_size=2)),
    )
    return st.lists(one, min_size=1, max_size=3).map(lambda parts: [each for part in parts for each in part])


def numbered(made: list[dict[str, Any]], lines: Iterator[int]) -> list[dict[str, Any]]:
    """The entries with a line of its own each."""
    return [
        each
        | {"line": next(lines)}
        | {name: numbered(each[name], lines) for name in ("children", "inside") if name in each}
        for each in made
    ]


OUTLINES = st.recursive(st.lists(LEAVES, min_size=1, max_size=3), containers, max_leaves=12).map(
    lambda made: numbered(made, itertools.count(1))
)


def segments(path: str) -> list[tuple[float, float, float, float]]:
    """The straight parts of a path; a turn counts as the line between its ends."""
    x = y = 0.0
    found = []
    for command, rest in re.findall(r"([MVHvhqml])([^MVHvhqml]*)", path):
        numbers = [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", rest)]
        before = (x, y)
        if command == "M":
            x, y = numbers
            continue
        if command == "V":
            y = numbers[0]
        elif command == "H":
            x = numbers[0]
        elif command == "v":
            y += numbers[0]
        elif command == "h":
            x += numbers[0]
        else:
            x, y = x + numbers[-2], y + numbers[-1]
        if command != "m":
            found.append((*before, x, y))
    return found


@settings(max_examples=150)
@given(OUTLINES, st.sampled_from([250, 374, 468, 560]), st.sampled_from([28, 44]), st.booleans())
def test_no_two_nodes_overlap_none_leaves_the_width_and_no_way_crosses_a_node(
    laid: Any, made: list[dict[str, Any]], width: int, tall: int, closed: bool
) -> None:
    every = laid({"outline": made, "width": width, "tall": tall})["items"]
    folded = [item["id"] for item in every[:: 2 if closed else len(every) + 1]]
    found = laid({"outline": made, "width": width, "tall": tall, "folded": folded})
    items = found["items"]
    assert items
    above = {}
    for index, item in enumerate(items):
        above[index] = set() if item["up"] is None else {item["up"]} | above[item["up"]]
        assert item["x"] >= 0 and item["x"] + item["w"] <= width + 0.01 and item["w"] > 0
        assert item["y"] + item["frame"] <= found["height"]
        assert item["level"] == len(above[index]) + 1
        if index:
            assert item["y"] >= 0
    for index, one in enumerate(items):
        for other_index in range(index):
            other = items[other_index]
            # What holds another is higher than that by its own line.
            high = other["h"] if other_index in above[index] else other["frame"]
            if other_index in above[index] and other["label"]:
                high = 12  # the words of a branch: ways leave from under them
            assert not (
                one["x"] < other["x"] + other["w"]
                and other["x"] < one["x"] + one["w"]
                and one["y"] < other["y"] + high
                and other["y"] < one["y"] + one["h"]
            ), (one, other)
    boxes = [it for it in items if not it["label"] and it["kind"] != "parallel"]
    for edge in found["edges"]:
        for x1, y1, x2, y2 in segments(edge["path"]):
            assert y1 >= 0 and y2 <= found["height"]
            left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
            for box in boxes:
                assert not (
                    left < box["x"] + box["w"] - 1
                    and right > box["x"] + 1
                    and top < box["y"] + box["h"] - 1
                    and bottom > box["y"] + 1
                ), (edge, box)


def test_branches_stand_beside_each_other_where_there_is_room_else_along_a_rail(laid: Any) -> None:
    program = outline("""
if event:
    await step.do("one", lambda: 1)
else:
    await step.do("other", lambda: 1)
""")
    for width, beside in ((468, True), (374, True), (250, False)):
        by_name = {item["name"]: item for item in laid({"outline": program, "width": width})["items"]}
        assert (by_name["one"]["y"] == by_name["other"]["y"]) == beside
    order = [item["name"] for item in laid({"outline": program, "width": 374})["items"]]
    assert order == ["if event", "one", "else", "other"]  # as in the code


def test_what_comes_later_in_the_code_does_not_move_when_cells_come(laid: Any) -> None:
    items = laid({"outline": outline(PROGRAM), "width": 468})["items"]
    stack = next(item for item in items if item["kind"] == "fan")
    assert stack["frame"] == 28 + 2 * 13 + 24  # room for sixty from the beginning


def rows(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"kind": "do", "name": name, "line": more.pop("line", None), "count": 1, **more} for name in names]


def test_a_run_is_counted_where_its_steps_stand() -> None:
    program = outline(PROGRAM)
    line = {entry["name"]: entry["line"] for entry in program}
    trip = {"kind": "do", "name": "book trip", "count": 1, "line": line["book trip"]}
    told = node(
        STANDING,
        {
            "outline": program,
            "rows": [
                {"kind": "do", "name": "fetch", "line": line["fetch"]},
                *({"kind": "do", "name": f"transcode {name}", "line": 13} for name in "abc"),
                {"kind": "do", "name": "transcode d", "line": 13, "status": "errored"},
                *({"kind": "do", "name": "check", "line": 22, "count": turn} for turn in (1, 2)),
                {"kind": "do", "name": "check", "line": 22, "count": 3, "status": "running", "endedAt": None},
                trip,
                {"kind": "do", "name": "flight", "line": 30, "parent": trip},
                {"kind": "do", "name": "not in the code", "line": 99},
                {"kind": "do", "name": "not in the plan", "line": 99},
                {"kind": "do", "name": "flight", "line": 98},
            ],
        },
    )["told"]
    by_name = {name: rest for name, *rest in told}
    assert by_name["fetch"] == ["completed", 1, 1, 0, 0, 1]
    assert by_name["for title in titles"] == ["errored", 4, 3, 1, 0, 4]
    assert by_name["while titles"] == ["running", 3, 2, 0, 1, 3]
    assert by_name["gather"][:2] == ["running", 3]
    assert by_name["hotel"] == ["not", 0, 0, 0, 0, 0]
    assert by_name["not in the …"] == ["completed", 2, 2, 0, 0, 2]
    flights = [rest for name, *rest in told if name == "flight"]
    assert [each[1] for each in flights] == [1, 1]  # in the trip, and one that the code does not show


def test_turns_of_a_loop_are_those_of_its_arms_together_and_unknown_where_only_another_loop_is_in_it() -> None:
    program = outline("""
for n in range(3):
    if n % 2:
        await step.do("odd", lambda: 1)
    else:
        await step.do("even", lambda: 1)
for x in range(2):
    for y in range(4):
        await step.do("cell", lambda: 1)
for z in range(2):
    await step.do("row", lambda: 1)
    for y in range(4):
        await step.do("cell of it", lambda: 1)
""")
    counts = {"odd": 1, "even": 2, "cell": 8, "row": 2, "cell of it": 8}
    told = node(
        STANDING,
        {
            "outline": program,
            "rows": [
                {"kind": "do", "name": name, "count": turn + 1} for name, many in counts.items() for turn in range(many)
            ],
        },
    )["told"]
    turns = [(name, rest[-1]) for name, *rest in told if name.startswith("for")]
    assert turns == [
        ("for n in range(3)", 3),
        ("for x in range(2)", 0),
        ("for y in range(4)", 8),
        ("for z in range(2)", 2),
        ("for y in range(4)", 8),
    ]


def test_what_only_the_run_shows_is_bounded_and_25_000_steps_take_no_time() -> None:
    found = node(STANDING, {"outline": [], "rows": [row for i in range(500) for row in rows(f"step {i}", line=i)]})
    assert len(found["told"]) == 60
    many = [{"kind": "do", "name": f"transcode {i}", "line": 13} for i in range(25_000)]
    found = node(STANDING, {"outline": outline(PROGRAM), "rows": many})
    assert next(rest[1] for name, *rest in found["told"] if name == "for title in titles") == 25_000
    assert found["took"] < 1_000  # milliseconds; 40 on the machine this was written on


def test_a_name_is_cut_in_its_middle_and_keeps_its_number() -> None:
    script = 'import { cut } from "RUN/graph-draw.js";\nreturn given.map(([name, room]) => cut(name, room));'
    assert node(script, [["short", 10], ["transcode customer-417", 14], ["x" * 50, 2]]) == [
        "short",
        "transcode…-417",
        "xx…x",
    ]


def test_what_may_be_the_id_of_a_run_is_found_in_what_a_step_returned() -> None:
    script = 'import { idsIn } from "RUN/children.js";\nreturn given.map(idsIn);'
    assert node(
        script,
        [
            "child-7",
            {"ids": ["a", "b", "a"], "n": 7, "words": "two words"},
            None,
            [str(i) for i in range(99)],
            [*range(5_000), "the-end"],
        ],
    ) == [
        ["child-7"],
        ["a", "b"],
        [],
        ["0", "1", "2", "3", "4"],
        [],
    ]
