"""Write calls of fetch by hand, with arguments of every wrong kind, and look whether the server goes on.

Line: requests that are let out lead nowhere inside
End: complete "asked"
"""

import json
import socket

from workers import WorkflowEntrypoint

WRONG = (
    [], [[]], [None], [7], [{"$bytes": "AAAA"}], ["https://playground.example", 7], ["https://playground.example", []],
    ["https://playground.example", {"method": None}], ["https://playground.example", {"method": {"$set": []}}],
    ["https://playground.example", {"headers": {"a": "b"}}], ["https://playground.example", {"headers": [["a"]]}],
    ["https://playground.example", {"headers": [["a", 7]] * 1000}], ["https://playground.example", {"body": 7}],
    ["https://playground.example", {"body": {"a": 7}}], ["https://playground.example/%00", {"headers": 7}],
    ["https://playground.example", {"redirect": "everywhere"}], ["https://" + "a" * 100_000], ["\x00"],
)  # fmt: skip


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("forge")
        async def forge():
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 3)
            for number, args in enumerate(WRONG):
                call = {"op": "call", "call": 9_000 + number, "binding": "FETCH", "method": "fetch", "args": args}
                data = json.dumps({**call, "kwargs": {}}).encode()
                channel.sendall(len(data).to_bytes(4, "big") + data)
            channel.detach()

        await forge()
        return "asked"
