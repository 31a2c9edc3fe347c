"""Return subclasses of the plain types whose methods misbehave when they are stored.

Line: results whose serialisation misbehaves
End: complete [1, "text", {"key": []}, 2.5]
"""

from workers import WorkflowEntrypoint


def never(*arguments):
    raise SystemExit("no")


class Int(int):
    __str__ = __repr__ = __int__ = __index__ = __lt__ = never


class Text(str):
    __str__ = __repr__ = encode = __len__ = never


class Real(float):
    __str__ = __repr__ = __float__ = never


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return [Int(1), Text("text"), {Text("key"): []}, Real(2.5)]
