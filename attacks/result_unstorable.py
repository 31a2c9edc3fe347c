"""Return what cannot be kept: NaN, half a surrogate pair, a socket, keys that are no strings, all of them caught one by
one.

Line: results whose serialisation misbehaves
End: complete ["NotSerialisableError", "NotSerialisableError", "NotSerialisableError", "NotSerialisableError", "NotSerialisableError"]
"""  # noqa: E501 - an End is one line

from workers import WorkflowEntrypoint

UNSTORABLE = (float("nan"), "\ud800", object(), {1: 2}, 10**10_000)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        refused = []
        for value in UNSTORABLE:
            try:
                await step.do("store", lambda value=value: value, config={"retries": {"limit": 0, "delay": 0}})
            except Exception as error:
                refused.append(type(error).__name__)
        return refused
