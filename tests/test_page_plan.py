"""What has not happened yet: a step that shares its line with others is ahead until its own name has begun; a computed
name goes by its line and by what is fixed of it.
"""

from page_code_support import node

OUTLINE = [
    {"kind": "do", "name": "lint", "line": 16, "end_line": 22},
    {
        "kind": "parallel",
        "name": "TaskGroup",
        "line": 28,
        "children": [{"kind": "do", "name": "test on {version}", "pattern": True, "line": 16}],
    },
    {"kind": "do", "name": "deploy", "line": 16, "end_line": 22},
]


def ahead(*steps: tuple[str, int]) -> list[str]:
    rows = [{"kind": "do", "name": name, "line": line} for name, line in steps]
    return node(
        """
        import { Plan, flatten } from "RUN/plan.js";
        return new Plan(flatten(given.outline)).ahead({ rows: given.rows, generation: 1 }).map(({ name }) => name);
        """,
        {"outline": OUTLINE, "rows": rows},
    )


def test_steps_of_one_line_are_told_apart_by_name() -> None:
    assert ahead() == ["lint", "test on {version}", "deploy"]
    assert ahead(("lint", 16)) == ["test on {version}", "deploy"]
    assert ahead(("lint", 16), ("test on 3.12", 16)) == ["deploy"]
    assert ahead(("lint", 16), ("test on 3.12", 16), ("deploy", 16)) == []


def test_what_is_fixed_of_a_name_is_taken_as_it_stands() -> None:
    fits = node(
        """
        import { fitting } from "RUN/plan.js";
        return given.map(([pattern, name]) => fitting(pattern)(name));
        """,
        [
            ["a.b {x}?", "a.b 1?"],
            ["a.b {x}?", "aXb 1?"],
            ["{a}{b}", "any\nthing"],
            [None, "any"],
            ["use {call['tool']}", "use map"],
            ["use {x}", "using"],
            ["{a}-{b}-{c}", "1-2-3"],
            ["{a}-{b}-{c}", "1-2"],
            ["ab{x}ba", "aba"],
            ["{x}ab{y}", "a-b"],
            ["plain", "plainly"],
        ],
    )
    assert fits == [True, False, True, True, True, False, True, False, False, False, False]


def test_a_pattern_made_to_take_for_ever_takes_no_time() -> None:
    """Whoever opens a link to such code would have a page that stands still."""
    script = 'import { fitting } from "RUN/plan.js";\nreturn fitting(given.pattern)(given.name);'
    assert node(script, {"pattern": "{a}x" * 60 + "y", "name": "x" * 256}) is False
