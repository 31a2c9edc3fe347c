"""Write calls of a model by hand, with arguments of every wrong kind and methods that are not code's to call.

Line: models answer within limits
End: complete "asked"
"""

import json
import socket

from workers import WorkflowEntrypoint

SCRIPT, ECHO = "@playground/script", "@playground/echo"
DEEP = []
for _ in range(60):
    DEEP = [DEEP]
WRONG = (
    [], [None], [7, {}], [ECHO], [ECHO, None], [ECHO, []], [ECHO, "text"], [ECHO, {"prompt": None}],
    [ECHO, {"prompt": {"$bytes": "AAAA"}}], [ECHO, {"prompt": "a", "messages": []}], [ECHO, {"messages": {}}],
    [ECHO, {"messages": [7]}], [ECHO, {"messages": [{"role": "root", "content": "a"}]}],
    [ECHO, {"messages": [{"role": "user", "content": DEEP}]}], [ECHO, {"prompt": "a", "pace_ms": -1}],
    [ECHO, {"prompt": "a", "pace_ms": 1e308}], [ECHO, {"prompt": "a", "max_tokens": -5}],
    [ECHO, {"prompt": "a", "tools": [DEEP]}], [ECHO, {"prompt": "a"}, {"stream": 7}],
    [ECHO, {"prompt": "a"}, {"stream": "../" * 1000}], [SCRIPT, {"prompt": "a", "script": 7}],
    [SCRIPT, {"prompt": "a", "script": [7]}], [SCRIPT, {"prompt": "a", "script": [{"tool_calls": [DEEP]}]}],
    [SCRIPT, {"prompt": "a", "script": [{"text": "{last.__class__} {0} %s %n {" * 100}]}],
    ["@playground/../../etc", {"prompt": "a"}], ["\x00" * 100_000, {"prompt": "a"}],
)  # fmt: skip
NOT_CODES = ("providers", "answer", "recorded", "hidden", "describe", "_provider", "__init__", "__class__")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("forge")
        async def forge():
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
            calls = [("run", args) for args in WRONG] + [(method, [ECHO]) for method in NOT_CODES]
            for number, (method, args) in enumerate(calls):
                call = {"op": "call", "call": 9_000 + number, "binding": "AI", "method": method, "args": args}
                data = json.dumps({**call, "kwargs": {}}).encode()
                channel.sendall(len(data).to_bytes(4, "big") + data)
            channel.detach()

        await forge()
        return "asked"
