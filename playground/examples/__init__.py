"""The example workflows: one Python file each, read as text and never imported.

A file starts with a docstring and goes on with the source that the editor shows:

    \"\"\"Title on the first line

    One paragraph: what happens, and what to try. Backticks mark code.

    order: 3
    group: "Start here"
    params: {"name": "Ada"}
    tasks: [{"do": "kill-worker", "during": "charge card", "say": "Press Kill worker while `charge card` runs.",
             "seen": "The journal was not gone."}]
    \"\"\"

`order` (from 1, no two alike), `group` (the heading it stands under; those of one group follow each other), `params`
(what `event["payload"]` will be) and `tasks` are required. `schedule` is a cron expression, of which a run is the next
firing. A task is something a person is asked to do (`say`) and the
page notices in the journal (`static/js/run/tasks.js`), and then says what it showed (`seen`). `first`: it begins before
Run is pressed. What there is to do, and what tells that it was done:

    finish       the run completes; `params: "changed"`: with other params than the example's
    kill-worker  `during` a step, `between` two attempts of it or `undoing` it, and the run goes on; `read`: after
                 at least so many steps that were read from the journal
    send-event   an event of the `type` arrives; `payload` is offered ready to send, `match` must be in what arrives
    wake         a wait of the `step` is ended by hand; `hibernated`: of a run without a worker
    fail         the `step` fails for good after so many `attempts`
    step         a step of this `name` completes
    answer       the `step` completes with a result that `has` these fields, or `differs` from this one

A value may go on over lines that are indented. The file's name, with hyphens, is the example's slug.
"""

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TITLE_CHARACTERS = 60
SOURCE_LINES = 60

_FILE = re.compile(r'"""(?P<header>.*?)"""\n(?P<source>.*)', re.DOTALL)
_FIELD = re.compile(r"(?P<name>[a-z]+):\s+(?P<value>.*)", re.DOTALL)
_FIELDS = ("order", "group", "schedule", "params", "tasks")
_REQUIRED = ("say", "seen")
# What each kind of task names: exactly one of the first, any of the second.
_TASKS: Mapping[str, tuple[set[str], set[str]]] = {
    "finish": (set(), {"params"}),
    "kill-worker": ({"during", "between", "undoing"}, {"read"}),
    "send-event": ({"type"}, {"payload", "match"}),
    "wake": ({"step"}, {"hibernated"}),
    "fail": ({"step"}, {"attempts"}),
    "step": ({"name"}, set()),
    "answer": ({"has", "differs"}, {"step"}),
}


class BadExample(ValueError):
    """An example file is malformed; the message is a sentence that names the file and what it lacks."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example. `params` and `task` are plain JSON values; `source` is what the editor shows, without the header."""

    slug: str
    title: str
    lesson: str
    order: int
    group: str
    params: Any
    source: str
    tasks: tuple[Mapping[str, Any], ...] = ()
    schedule: str | None = None


def load(folder: Path = FOLDER) -> tuple[Example, ...]:
    """Read every example of `folder`, in order.

    For the start of a server: a bad file must not wait for its first reader.

    Raises:
        BadExample: a file is malformed, two share an order, or there is none.
    """
    examples = sorted(
        (read(path.stem.replace("_", "-"), path.read_text("utf-8")) for path in folder.glob("[!_]*.py")),
        key=lambda it: (it.order, it.slug),
    )
    if not examples:
        raise BadExample(f"There is no example in {folder}.")
    for one, next_one in itertools.pairwise(examples):
        if one.order == next_one.order:
            raise BadExample(f"The examples {one.slug} and {next_one.slug} both have the order {one.order}.")
    groups = [name for name, _ in itertools.groupby(example.group for example in examples)]
    if len(groups) > len(set(groups)):
        raise BadExample(f"The order of the examples in {folder} takes a group apart: {', '.join(groups)}.")
    return tuple(examples)


def read(slug: str, text: str) -> Example:
    """Make an example of a file's text.

    Raises:
        BadExample: the text does not have the form above.
    """
    found = _FILE.match(text)
    if not found:
        raise BadExample(f"The example {slug} does not start with a docstring that is followed by its source.")
    title, *blocks = (block.strip() for block in re.split(r"\n\s*\n", found["header"].strip()))
    if len(blocks) != 2 or not title or "\n" in title or len(title) > TITLE_CHARACTERS:
        raise BadExample(
            f"The header of example {slug} is not a title of one line (up to {TITLE_CHARACTERS} characters), one "
            "paragraph and fields."
        )
    lesson, fields = " ".join(blocks[0].split()), _fields(slug, blocks[1])
    source = found["source"].strip("\n") + "\n"
    if source.count("\n") > SOURCE_LINES or not source.strip():
        raise BadExample(
            f"The example {slug} has {source.count(chr(10))} lines of source; it should have 1 to {SOURCE_LINES}."
        )
    return Example(
        slug, title, lesson, fields["order"], fields["group"], fields["params"], source, tuple(fields["tasks"]),
        fields.get("schedule"),
    )  # fmt: skip


def _fields(slug: str, block: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for entry in re.split(r"\n(?=\S)", block):
        found = _FIELD.match(entry)
        if not found or found["name"] not in _FIELDS or found["name"] in fields:
            raise BadExample(
                f"The header of example {slug} has the line {entry!r}; it takes {', '.join(_FIELDS)}, once each."
            )
        try:
            fields[found["name"]] = json.loads(found["value"])
        except ValueError as error:
            raise BadExample(f"The {found['name']} of example {slug} is not JSON: {error}.") from None
    if type(fields.get("order")) is not int or fields["order"] < 1 or "params" not in fields:
        raise BadExample(f"The header of example {slug} needs an order from 1 and params.")
    if not isinstance(fields.get("group"), str) or not fields["group"].strip():
        raise BadExample(f'The header of example {slug} needs a group, such as "Start here".')
    if not isinstance(fields.get("schedule", ""), str):
        raise BadExample(f'The schedule of example {slug} is not a cron expression, such as "0 9 * * MON".')
    tasks = fields.get("tasks")
    if not isinstance(tasks, list) or not tasks or not all(map(_is_task, tasks)):
        raise BadExample(f"The tasks of example {slug} are not a list with the fields of one of: {', '.join(_TASKS)}.")
    return fields


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict) or task.get("do") not in _TASKS:
        return False
    one_of, more = _TASKS[task["do"]]
    words = all(isinstance(task.get(name), str) and task[name].endswith(".") for name in _REQUIRED)
    named = set(task) - {"do", "first", *_REQUIRED}
    return words and len(named & one_of) == min(1, len(one_of)) and named <= one_of | more
