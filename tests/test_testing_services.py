"""The test kit gives models and tools answers, and records their calls as real ones."""

from aio import story
from dispatch_support import workflow

from playground.testing import WorkflowTester
from playground.workflows import events as ev
from playground.workflows.errors import AIUnavailableError

SUM = {"tool_calls": [{"name": "add", "arguments": {"a": 20, "b": 22}}]}
AGENT = workflow("""
messages = [{"role": "user", "content": "What is 20 + 22?"}]

async def ask():
    return await self.env.AI.run("gpt-x", {"messages": messages}, stream=True)

answer = await step.do("ask", ask, config={"retries": {"limit": 1, "delay": 1}})
for call in answer["tool_calls"]:
    found = await self.env.MCP.call_tool(call["name"], call["arguments"])
    messages += [answer["message"], {"role": "tool", "content": found["content"][0]["text"]}]
return (await step.do("ask", ask))["response"], found["structuredContent"]
""")


@story
async def test_a_model_and_a_tool_have_the_answers_that_the_test_gives_them() -> None:
    async with WorkflowTester(AGENT) as tester:
        tester.mock_model(
            "gpt-x", AIUnavailableError("away"), SUM, lambda inputs: f"{inputs['messages'][-1]['content']}!"
        )
        tester.mock_tool("add", lambda a, b: {"total": a + b})
        run = await tester.create()
        assert await run.result() == ['{"total": 42}!', {"total": 42}]
        journal = await run.journal()
        assert [event.data.get("error") for event in journal if event.type == ev.AI_CALLED] == [
            "ai.unavailable", None, None
        ]  # fmt: skip
        assert [event.data["tool"] for event in journal if event.type == ev.MCP_CALLED] == ["add"]


@story
async def test_what_has_no_answer_says_how_to_give_it_one() -> None:
    body = """
    errors = []
    for call in (self.env.AI.run("gpt-y", {"prompt": "x"}), self.env.MCP.call_tool("find")):
        try:
            await call
        except Exception as error:
            errors.append(str(error))
    return [errors, (await self.env.AI.run("@playground/echo", {"prompt": "still there"}))["response"]]
    """
    async with WorkflowTester(workflow(body)) as tester:
        errors, echo = await (await tester.create()).result()
        assert ["mock_model" in errors[0], "mock_tool" in errors[1], echo] == [True, True, "still there"]


@story
async def test_an_agent_goes_the_same_way_when_it_is_replayed_from_every_commit() -> None:
    async with WorkflowTester(AGENT, replay_each_commit=True) as tester:
        tester.mock_model("gpt-x", lambda given: SUM if len(given["messages"]) == 1 else "It is 42.")
        tester.mock_tool("add", lambda a, b: {"total": a + b})
        run = await tester.create()
        assert await run.result() == ["It is 42.", {"total": 42}]
        journal = await run.journal()
        completed = [str(event.step) for event in journal if event.type == ev.STEP_COMPLETED]
        assert completed == ["ask-1", "call add-1", "ask-2"]
        ended = {str(event.step): event.seq for event in journal if event.type == ev.STEP_COMPLETED}
        asked = [event for event in journal if event.type in (ev.AI_CALLED, ev.MCP_CALLED)]
        assert all(event.seq < ended[str(event.step)] for event in asked), "what is committed is not asked again"
