"""Tags: given at create and by code, once each, whatever dies; what can't be one is refused."""

import pytest
from semantics_support import assert_dense, failure, playing, story

from playground.workflows import events as ev
from playground.workflows.errors import InvalidTag
from playground.workflows.tags import TAG_LENGTH, check_tags, tags_of

BODY = """
step.tag("order-7", "eu")
first = await step.do("first", lambda: 1)
step.tag("eu", "paid")
await step.sleep("night", "8 hours")
step.tag("order-7", "sent")
return first
"""


@story
async def test_tags_of_create_and_code_are_committed_once_and_stay_through_replays_and_a_restart() -> None:
    async with playing(BODY, created={"tags": ["vip", "eu", "vip"]}, replay_each_commit=True) as (_, run):
        assert await run.result() == 1
        assert [event.data["tags"] for event in await run.journal() if event.type == ev.WORKFLOW_TAGGED] == [
            ["vip", "eu"], ["order-7"], ["paid"], ["sent"],
        ]  # fmt: skip
        assert (await run.state()).as_json()["tags"] == ["vip", "eu", "order-7", "paid", "sent"]
        await run.restart()
        await run.result()
        assert len(await run.types(ev.WORKFLOW_TAGGED)) == 4
        row = await run.row()
        assert tags_of(row.injected) == ["vip", "eu", "order-7", "paid", "sent"]
        assert_dense(await run.journal())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('step.tag(" order")', "The tag ' order' can't be used"),
        ('step.tag("a\\nb")', "can't be used"),
        ("step.tag(7)", "The tag 'int' can't be used"),
        ('step.tag("x" * 101)', "1 to 100 characters"),
        ('await step.do("inside", lambda: step.tag("a"))', "step.tag is for the code outside of steps"),
    ],
)
@story
async def test_what_cant_be_a_tag_of_code_fails_the_run(body: str, said: str) -> None:
    assert said in (await failure(body))["message"]


@pytest.mark.parametrize("tags", ["order", b"order", [""], ["a\x00"], ["\ud800"], [None], ["x" * (TAG_LENGTH + 1)]])
def test_what_cant_be_a_tag_of_a_new_run_is_refused(tags: object) -> None:
    with pytest.raises(InvalidTag):
        check_tags(tags, 20)
    assert check_tags(["x" * TAG_LENGTH, "größe 7"], 2)
