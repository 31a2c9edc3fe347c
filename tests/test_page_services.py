"""What the page says of models and tools: in a step's row, its drawer and the journal, and in a tenant's forms."""

from page_code_support import node

WORDS = """
import { aiBrief, mcpBrief, tokensWords } from "RUN/services.js";
return {
    ai: aiBrief({ model: "gpt-x", tokens_in: 1200, tokens_out: 1, took_ms: 1500 }),
    failed: aiBrief({ model: "gpt-x", tokens_in: 0, tokens_out: 0, took_ms: 2, error: "ai.unavailable" }),
    tool: mcpBrief({ server: "default", tool: "add", took_ms: 12 }),
    task: mcpBrief({ server: "maths", tool: "add", took_ms: 12, task: "t-1", status: "working" }),
    row: [{ tokens_in: 3, tokens_out: 4 }, null, { tokens_in: 0, tokens_out: 0 }].map((ai) => tokensWords({ ai })),
};
"""
FORMS = """
import { aboutModel, aboutServer, modelBody, serverBody } from "RUN/../tenants/services.js";
return {
    model: modelBody({ url: " https://x/v1 ", models: "small, large  huge", day: "", run: "500", secret: "KEY" }),
    bare: modelBody({ url: "https://x/v1", models: "m", day: "0", run: "", secret: " " }),
    server: serverBody({ url: "https://x/mcp", tools: "add find", secret: "" }),
    all: serverBody({ url: "https://x/mcp", tools: " ", secret: "KEY" }),
    about: [
        aboutModel({ models: ["*"], tokens_per_day: 5000 }),
        aboutModel({ models: ["a", "b"], tokens_per_run: 9, secret: "KEY" }),
    ],
    servers: [aboutServer({ url: "https://x", tools: ["add"] }), aboutServer({ url: "https://x", secret: "KEY" })],
};
"""


def test_a_call_is_said_in_one_line() -> None:
    said = node(WORDS, None)
    assert said == {
        "ai": "gpt-x, 1,200 tokens in, 1 out, 1.5\u00a0s",
        "failed": "gpt-x, no answer (ai.unavailable), 2\u00a0ms",
        "tool": "add, 12\u00a0ms",
        "task": "add of maths, 12\u00a0ms, goes on there as a task",
        "row": ["7 tokens", "", ""],
    }


def test_what_is_typed_is_sent_and_what_was_left_empty_is_left_out() -> None:
    made = node(FORMS, None)
    assert made["model"] == {
        "base_url": "https://x/v1", "models": ["small", "large", "huge"], "tokens_per_run": 500, "secret": "KEY"
    }  # fmt: skip
    assert made["bare"] == {"base_url": "https://x/v1", "models": ["m"], "tokens_per_day": 0}
    assert made["server"] == {"url": "https://x/mcp", "tools": ["add", "find"]}
    assert made["all"] == {"url": "https://x/mcp", "secret": "KEY"}
    assert made["about"] == ["any model · 5,000 tokens a day · no key", "a, b · 9 a run · key: KEY"]
    assert made["servers"] == ["https://x · add · no token", "https://x · all tools · token: KEY"]
