"""An agent that calls tools

A model asks for tools, each tool is a step, and the model goes on with what they gave, until it answers. Each call of
the model is a step, too: what it has answered is never asked, or paid for, again. Its words stream while it writes. The
model is `@playground/script`, which is built in, needs no key and plays the script below; write the name of your own
model, and leave out the script.

order: 18
group: "In the real world"
params: {"question": "What do I wear in Lisbon, and what in Oslo?"}
tasks: [{"do": "kill-worker", "during": "ask model", "read": 3,
         "say": "Press Kill worker while the second `ask model` writes its answer.",
         "seen": "The tools and the first call were read from the journal: nothing was paid for twice."}]
"""

import asyncio

from workers import WorkflowEntrypoint

MODEL = "@playground/script"
WEATHER = {"Lisbon": "24 degrees and sunny", "Oslo": "2 degrees and snow"}
LOOK = [{"name": "weather", "arguments": {"city": city}} for city in WEATHER]
SCRIPT = [
    {"tool_calls": LOOK},
    {
        "text": "In Lisbon a shirt will do, for it is warm and sunny all day long. "
        "Oslo is another matter: there is snow, and it is hardly above freezing, "
        "so take a coat and good boots."
    },
]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
TURNS = 5  # of the model, at most


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        messages = [{"role": "user", "content": event["payload"]["question"]}]

        async def ask_model():
            inputs = {"messages": messages, "tools": TOOLS, "script": SCRIPT, "pace_ms": 100}
            return await self.env.AI.run(MODEL, inputs, stream="answer")

        async def use(call):
            print(f"{call['name']}: {call['arguments']}")
            await asyncio.sleep(0.5)
            return WEATHER[call["arguments"]["city"]]

        for _ in range(TURNS):
            answer = await step.do("ask model", ask_model)
            messages.append(answer["message"])
            if not answer["tool_calls"]:
                return {"answer": answer["response"], "tokens": answer["usage"]["total_tokens"]}
            for call in answer["tool_calls"]:
                found = await step.do(f"use {call['name']}", lambda call=call: use(call))
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": found})
        raise RuntimeError(f"no answer after {TURNS} turns")
