"""Fail with a `__str__` that gives a subclass of str with methods of its own.

Line: exceptions whose __str__ misbehaves
End: errored Hostile: plain
"""

from workers import WorkflowEntrypoint


class Text(str):
    def encode(self, *arguments):
        raise SystemExit("no")

    def __getitem__(self, index):
        while True:
            pass

    __str__ = __len__ = __getitem__


class Hostile(Exception):
    def __str__(self):
        return Text("plain")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        raise Hostile()
