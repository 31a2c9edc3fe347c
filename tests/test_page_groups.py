"""Groups of the timeline, computed by its own modules: which steps share a row, what it counts, when it opens, and how
its rows look when they are made small.
"""

import random
from typing import Any

import pytest
from page_code_support import node, node_function

Event = dict[str, Any]

# `given` is {events, cuts, acts}: the groups take the state after each of `cuts` events; the rows of the last are told.
ROWS = """
import { apply, keyOf, newState } from "RUN/fold.js";
import { Groups, lengths } from "RUN/groups.js";
import { memberName } from "RUN/group-row.js";
const tell = (groups) => {
  const { rows, depths, owners } = groups.rows();
  return rows.map((row, index) => row.isGroup
    ? { group: row.head, name: row.name, many: row.steps.length, tally: row.tally, loop: row.isLoop, mode: row.mode,
        depth: depths[index], longest: row.longest && row.longest.key,
        middle: lengths(row.steps, 0, true)?.middle ?? null }
    : row.isRest ? { rest: row.steps.length, depth: depths[index] }
    : { step: row.key, depth: depths[index], shown: memberName(row, owners[index]) });
};
const groups = new Groups();
const state = newState();
const { events, final = false, cuts = [], acts = [] } = given;
let told = [];
events.forEach((event, index) => {
  apply(state, event);
  if (cuts.includes(index + 1)) groups.take(state, false);
  for (const act of acts.filter(({ after }) => after === index + 1)) {
    groups.take(state, false);
    groups.rows();
    const row = groups.rows().rows.find((one) => one.isGroup && one.head === act.group);
    if (act.fold) groups.fold(row);
    else groups.unfold(row, act.all);
  }
});
groups.take(state, final);
told = tell(groups);
const anew = new Groups();
anew.choices = new Map(groups.choices);
anew.take(state, final);
return { told, anew: tell(anew) };
"""


class Story:
    """Events of a run, written down as they happen; each takes a millisecond."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.put("workflow_queued")
        self.put("execution_started", execution=1, worker="w1", replayed=0)

    def put(self, type_: str, step: Event | None = None, **data: object) -> "Story":
        seq = len(self.events) + 1
        event = {"seq": seq, "at": seq, "execution": 1, "type": type_, "data": data}
        self.events.append(event | ({"step": step} if step else {}))
        return self

    def begin(self, name: str, *, line: int, count: int = 1, parent: Event | None = None) -> Event:
        step = {"kind": "do", "name": name, "count": count} | ({"parent": parent} if parent else {})
        self.put("step_started", step, line=line)
        self.put("attempt_started", step, attempt=1)
        return step

    def end(self, step: Event, took_us: int = 1_000) -> None:
        self.put("attempt_completed", step, attempt=1, took_us=took_us)
        self.put("step_completed", step, output=None)

    def fail(self, step: Event, *, for_good: bool = True) -> None:
        error = {"name": "E", "message": ""}
        self.put("attempt_errored", step, attempt=1, error=error, retry_delay_ms=None if for_good else 1_000)
        if for_good:
            self.put("step_errored", step, error=error)

    def wait(self, name: str, *, line: int, parent: Event | None = None) -> Event:
        step = {"kind": "wait", "name": name, "count": 1} | ({"parent": parent} if parent else {})
        self.put("wait_started", step, line=line, until=1_000_000, event_type="go")
        return step


def rows(story: Story, **given: object) -> list[dict[str, Any]]:
    found = node(ROWS, {"events": story.events, **given})
    assert found["told"] == found["anew"], "what was taken in pieces is what is taken at once"
    return list(found["told"])


def fan_out(names: list[str], *, line: int = 8) -> tuple[Story, list[Event]]:
    story = Story()
    return story, [story.begin(name, line=line) for name in names]


def test_more_than_five_rows_of_one_line_are_one() -> None:
    story, steps = fan_out([f"page {number}" for number in range(5)])
    assert [row["step"] for row in rows(story)] == [f"do:page {number}:1" for number in range(5)]
    steps.append(story.begin("page 5", line=8))
    story.begin("then", line=9)
    group, then = rows(story)
    assert (group["group"], group["many"], group["mode"], group["loop"]) == ("page ", 6, "folded", False)
    assert then["step"] == "do:then:1"
    for step in steps:
        story.end(step)
    assert rows(story)[0]["tally"] == [["completed", 6]]


def test_a_group_opens_for_what_failed_and_shows_only_that() -> None:
    story, steps = fan_out([f"transcode customer-{number:04d}-final-cut-of-the-film.mov" for number in range(60)])
    for number, step in enumerate(steps):
        story.fail(step) if number in (17, 41) else story.end(step, took_us=40_000 + number)
    group, first, second, rest = rows(story)
    assert group["tally"] == [["completed", 58], ["errored", 2]]
    assert (group["group"], group["mode"], round(group["middle"])) == ("transcode customer-", "some", 40)
    assert [first["step"][:27], second["step"][:27]] == ["do:transcode customer-0017-", "do:transcode customer-0041-"]
    shown = first["shown"]
    assert shown["cut"]
    assert shown["head"].startswith("0017-"), "without what all names begin with"
    assert (shown["head"] + shown["tail"], shown["tail"]) == ("0017-final-cut-of-the-film.mov", "film.mov")
    assert rest == {"rest": 58, "depth": 2}


def test_so_many_failures_that_they_are_no_glance_are_counted() -> None:
    story, steps = fan_out([f"page {number}" for number in range(600)])
    for step in steps:
        story.fail(step)
    told = rows(story)
    assert len(told) == 1 + 12 + 1
    assert told[-1] == {"rest": 588, "depth": 2}


def test_what_the_reader_folded_stays_so_until_something_fails_anew() -> None:
    story, steps = fan_out([f"page {number}" for number in range(8)])
    story.fail(steps[3])
    folded = len(story.events)
    acts = [{"after": folded, "group": "page ", "fold": True}]
    story.end(steps[0])
    assert [row.get("mode") for row in rows(story, acts=acts)] == ["folded"]
    story.fail(steps[5], for_good=False)
    assert [row.get("step") for row in rows(story, acts=acts)] == [None, "do:page 3:1", "do:page 5:1", None]
    again = [*acts, {"after": len(story.events), "group": "page ", "fold": True}]
    story.put("attempt_started", steps[5], attempt=2)
    story.fail(steps[5], for_good=False)
    assert len(rows(story, acts=again)) == 1, "the same step that fails again is nothing new"


def test_what_the_reader_opened_shows_every_step() -> None:
    story, steps = fan_out([f"page {number}" for number in range(8)])
    story.fail(steps[3])
    told = rows(story, acts=[{"after": len(story.events), "group": "page ", "all": True}])
    assert [row["step"] for row in told[1:]] == [f"do:page {number}:1" for number in range(8)]


def test_a_loop_is_told_from_steps_side_by_side_and_counts_turns() -> None:
    story = Story()
    for turn in range(1, 21):
        for name, line in (("poll", 8), ("store", 9)):
            story.end(story.begin(name, line=line, count=turn), took_us=9_000 if turn == 7 else 1_000)
    poll, store = rows(story)
    assert [poll["loop"], store["loop"]] == [True, True]
    assert (poll["name"], poll["many"], poll["longest"]) == ("poll", 20, "do:poll:7")
    told = rows(story, acts=[{"after": len(story.events), "group": "poll", "all": True}])
    assert [row["shown"]["head"] for row in told[1:21]] == [f"turn {turn}" for turn in range(1, 21)]
    together, _ = fan_out(["unit"] * 1)
    for count in range(2, 10):
        together.begin("unit", line=8, count=count)
    told = rows(together, acts=[{"after": len(together.events), "group": "unit", "all": True}])
    assert told[0]["loop"] is False
    assert [row["shown"]["tail"] for row in told[1:]] == [f"-{count}" for count in range(1, 10)]


def test_a_step_that_waits_inside_a_member_opens_the_group() -> None:
    story, outer = fan_out([f"order {number}" for number in range(7)])
    inner = story.wait("approval", line=12, parent=outer[4])
    assert [row.get("step", "")[:10] for row in rows(story)] == ["", "do:order 4", "do:order 4", ""]
    assert [row["depth"] for row in rows(story)] == [0, 2, 3, 2]
    story.put("wait_completed", inner, event=None)
    assert [row["mode"] for row in rows(story)] == ["folded"]


def test_what_a_run_that_ended_left_open_waits_for_nobody() -> None:
    story = Story()
    for number in range(7):
        story.wait(f"approval {number}", line=8)
    assert len(rows(story)) == 8
    [group] = rows(story, final=True)
    assert group["tally"] == [["stopped", 7]]


def test_steps_that_one_step_called_from_one_line_are_a_group_of_their_own() -> None:
    story = Story()
    outer = story.begin("batch", line=8)
    inner = [story.begin(f"mail {number}", line=12, parent=outer) for number in range(6)]
    other = story.begin("batch", line=8, count=2)
    story.begin("mail 0", line=12, parent=other)
    told = rows(story)
    assert [row.get("group") or row["step"].replace("\n", " ") for row in told] == [
        "do:batch:1",
        "mail ",
        "do:batch:2",
        "do:batch:2 do:mail 0:1",
    ]
    assert [row["depth"] for row in told] == [0, 1, 0, 1]
    for step in inner:
        story.end(step)
    assert rows(story)[1]["tally"] == [["completed", 6]]


@pytest.mark.parametrize(
    ("names", "head"),
    [
        (["transcode 0017.mov", "transcode 0018.mov"], "transcode "),
        (["item1", "item2"], "item"),
        (["berlin", "bern"], ""),
        (["fetch berlin", "fetch bern"], "fetch "),
        (["a", "a"], "a"),
        (["17", "18"], ""),
        (["step 😀", "step 😁"], "step "),
        (["send", "send to all"], "send"),
        (["größe-1", "größe-2"], "größe-"),
    ],
)
def test_a_name_is_cut_where_a_word_or_a_number_ends(names: list[str], head: str) -> None:
    story = Story()
    for number in range(6):
        story.begin(names[min(number, 1)], line=8, count=max(1, number))
    assert rows(story)[0]["group"] == head


def test_groups_taken_in_any_pieces_are_those_taken_at_once() -> None:
    chance = random.Random(18)
    with node_function(ROWS) as told:
        for _ in range(40):
            story, living, counts = Story(), [], {}
            for _ in range(chance.randrange(20, 160)):
                roll = chance.random()
                if roll < 0.55 or not living:
                    line = chance.randrange(3)
                    counts[line] = counts.get(line, 0) + 1
                    name = f"step of {line}"
                    parent = chance.choice(living) if living and chance.random() < 0.2 else None
                    parent = None if parent and "parent" in parent else parent
                    if parent:
                        living.append(story.begin(f"in {counts[line]}", line=10 + line, parent=parent))
                    else:
                        living.append(story.begin(name, line=line, count=counts[line]))
                elif roll < 0.75:
                    story.end(living.pop(chance.randrange(len(living))), took_us=chance.randrange(1_000_000))
                elif roll < 0.9:
                    story.fail(living.pop(chance.randrange(len(living))))
                else:
                    story.fail(living[chance.randrange(len(living))], for_good=False)
            cuts = chance.sample(range(1, len(story.events)), k=min(9, len(story.events) - 1))
            found = told({"events": story.events, "cuts": cuts, "final": chance.random() < 0.3})
            assert found["told"] == found["anew"]


LENS = """
import { fold } from "RUN/fold.js";
import { Groups } from "RUN/groups.js";
import { cellOf } from "RUN/lens.js";
const state = fold(given);
const groups = new Groups();
groups.take(state, false);
return groups.rows().rows.map((row) => state.executions.map((one, index) =>
    cellOf(row, one, state, index === state.executions.length - 1)));
"""


def test_what_an_execution_did_with_a_group_is_counted() -> None:
    story, steps = fan_out([f"page {number}" for number in range(8)])
    for step in steps[:3]:
        story.end(step)
    story.put("execution_ended", reason="killed")
    for step in steps[3:]:
        story.put("attempt_errored", step, attempt=1, error={"name": "WorkerLost", "message": ""}, retry_delay_ms=0)
    story.put("execution_started", execution=2, worker="w2", replayed=3)
    for event in story.events[-1:]:
        event["execution"] = 2
    begun = len(story.events)
    for step in steps[3:]:
        story.put("attempt_started", step, attempt=2)
    for step in steps[3:7]:
        story.put("attempt_completed", step, attempt=2).put("step_completed", step, output=None)
    for event in story.events[begun:]:
        event["execution"] = 2
    [cells] = node(LENS, story.events)
    assert cells == [
        ["ran many", "3 ran · 5 lost with its worker"],
        ["run-now many", "3 read · 4 ran · 1 running"],
    ]


SKETCH = """
import { sketch, sketchOpen } from "RUN/minimap.js";
const steps = given.steps.map(([startedAt, endedAt, status = "completed"]) => ({ startedAt, endedAt, status,
    attempts: [{ startedAt, endedAt, tookUs: endedAt === null ? null : (endedAt - startedAt) * 1000 }] }));
const how = { width: 300, isLoop: given.loop, end: given.end ?? 1000 };
const drawn = sketch(steps, (at) => at, how);
return { ...drawn, open: sketchOpen(drawn, (at) => at, how) };
"""


def boxes(path: str) -> list[tuple[float, float, float, float]]:
    """Left, top, width and height of the boxes of a path."""
    found = []
    for part in path.split("M")[1:]:
        place, rest = part.split("h" if part.index("h") < part.index("v") else "v", 1)
        x, y = map(float, place.split())
        if "h" in part.split("v")[0]:
            width, rest = rest.split("v", 1)
            found.append((x, y, float(width), float(rest.split("h")[0])))
        else:
            up, rest = rest.split("h", 1)
            found.append((x, y + float(up), float(rest.split("v")[0]), -float(up)))
    return found


def test_the_picture_of_steps_side_by_side_is_their_rows_made_small() -> None:
    steps = [[10 * number, 10 * number + 60] for number in range(4)]
    drawn = boxes(node(SKETCH, {"steps": steps, "loop": False})["ran"])
    assert [(x, width) for x, _, width, _ in drawn] == [(0, 60), (10, 60), (20, 60), (30, 60)]
    assert [y for _, y, _, _ in drawn] == sorted({y for _, y, _, _ in drawn}), "each in a lane of its own"
    many = node(SKETCH, {"steps": [[number / 4, number / 4 + 5] for number in range(600)], "loop": False})
    assert len(boxes(many["ran"])) == 8, "so many rows to a lane, and what runs on in one is one line"


def test_a_failed_step_is_a_stroke_of_full_height() -> None:
    steps = [[0, 50], [10, 90, "errored"], [20, 40]]
    [stroke] = boxes(node(SKETCH, {"steps": steps, "loop": False})["failed"])
    assert stroke == (87, 0, 3, 24)
    crowd = node(SKETCH, {"steps": [[0, 90.1, "errored"]] * 5_000, "loop": False})
    assert len(boxes(crowd["failed"])) == 1, "as many strokes as pixels at most"


def test_a_loop_has_the_longest_turn_of_each_stretch() -> None:
    steps = [[0, 3], [3, 9], [9, 9.3], [9.3, 9.6], [30, None]]
    found = node(SKETCH, {"steps": steps, "loop": True, "end": 36})
    assert [(x, high) for x, _, _, high in boxes(found["ran"])] == [(0, 12), (3, 24), (6, 24), (9, 2)]
    assert [x for x, *_ in boxes(found["open"])] == [30, 33]
    long = node(SKETCH, {"steps": [[number / 20, (number + 1) / 20] for number in range(5_000)], "loop": True})
    assert len(boxes(long["ran"])) <= 300 / 3 + 1


def test_a_picture_of_a_loop_that_grew_is_that_of_all_of_it() -> None:
    script = """
import { sketch } from "RUN/minimap.js";
const all = given.map(([startedAt, endedAt], index) => ({ startedAt, endedAt, attempts: [],
    status: index % 7 === 3 ? "errored" : "completed" }));
const how = { width: 300, isLoop: true, end: 290, looks: "1" };
const steps = [];
for (const step of all) {
  const { endedAt, status } = step;
  Object.assign(step, { endedAt: null, status: "running" });
  steps.push(step);
  sketch(steps, (at) => at, how);
  Object.assign(step, { endedAt, status });
  if (steps.length % 3 === 0) sketch(steps, (at) => at, how);
}
const zoomed = sketch(steps, (at) => at / 2, { ...how, looks: "2" });
const small = sketch([...steps], (at) => at / 2, how);
return [sketch(steps, (at) => at, how), sketch([...steps], (at) => at, how), zoomed, small];
"""
    grown, whole, zoomed, small = node(script, [[turn * 4, turn * 4 + turn % 5] for turn in range(70)])
    assert (grown["ran"], grown["failed"]) == (whole["ran"], whole["failed"])
    assert (zoomed["ran"], zoomed["failed"]) == (small["ran"], small["failed"])
