"""The examples: a malformed file is refused with a sentence, and every one is what the page needs."""

import ast

import pytest

from playground.examples import BadExample, load, read

GOOD = '''"""A title

One paragraph about
`run`.

order: 3
params: {"name":
         "Ada"}
"""

class TenantWorkflow: ...
'''


def test_reads_the_header_and_leaves_it_out_of_the_source():
    example = read("a-title", GOOD)
    assert (example.slug, example.title, example.lesson, example.order) == ("a-title", "A title", "One paragraph about `run`.", 3)
    assert example.params == {"name": "Ada"}
    assert example.source == "class TenantWorkflow: ...\n"
    assert example.task is None


BAD = [
    ("no docstring", "class TenantWorkflow: ...\n", "does not start with a docstring"),
    ("no source", GOOD.partition("\nclass")[0], "1 to 60"),
    ("no lesson", GOOD.replace("One paragraph about\n`run`.\n\n", ""), "one paragraph and fields"),
    ("two paragraphs", GOOD.replace("about\n", "about\n\n"), "one paragraph and fields"),
    ("title too long", GOOD.replace("A title", "A" * 61), "up to 60 characters"),
    ("params not JSON", GOOD.replace('{"name":', "{name:"), "params of example bad is not JSON"),
    ("no params", GOOD.replace("params:", "task:"), "needs an order from 1 and params"),
    ("order 0", GOOD.replace("order: 3", "order: 0"), "needs an order from 1"),
    ("order true", GOOD.replace("order: 3", "order: true"), "needs an order from 1"),
    ("unknown field", GOOD.replace("order: 3", "order: 3\nlevel: 1"), "'level: 1'"),
    ("field twice", GOOD.replace("order: 3", "order: 3\norder: 3"), "once each"),
    ("unknown task", GOOD.replace("order: 3", 'order: 3\ntask: {"do": "dance", "say": "x"}'), "task of example bad"),
    ("task without what", GOOD.replace("order: 3", 'order: 3\ntask: {"do": "kill-worker", "say": "x"}'), "task of example bad"),
    ("too long", GOOD + "pass\n" * 60, "61 lines"),
]


@pytest.mark.parametrize(("text", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_refuses_a_malformed_file(text, sentence):
    with pytest.raises(BadExample) as refused:
        read("bad", text)
    assert sentence in str(refused.value)
    assert str(refused.value).endswith(".")


def test_refuses_two_of_one_order_and_an_empty_folder(tmp_path):
    with pytest.raises(BadExample, match="There is no example in"):
        load(tmp_path)
    (tmp_path / "one.py").write_text(GOOD)
    (tmp_path / "two_b.py").write_text(GOOD)
    (tmp_path / "__init__.py").write_text("")
    with pytest.raises(BadExample, match="one and two-b both have the order 3"):
        load(tmp_path)


def test_ships_the_examples_in_order():
    slugs = [example.slug for example in load()]
    assert slugs == [
        "hello", "crash-and-resume", "retries", "hibernation", "approval", "fan-out", "dependencies", "saga", "agent-plan",
        "ci-pipeline", "onboarding", "long-poll",
    ]  # fmt: skip


@pytest.mark.parametrize("example", load(), ids=lambda example: example.slug)
def test_every_example_names_only_steps_it_has(example):
    words = {node.value for node in ast.walk(ast.parse(example.source)) if isinstance(node, ast.Constant)}
    if example.task is not None:
        assert example.task.get("during", example.task.get("type")) in words
    assert example.lesson.endswith(".")
    assert all(len(line) <= 96 for line in example.source.splitlines())
