"""Be a workflow class that is none: a metaclass that lies about everything, an instance that is something else, a `run`
that awaits nonsense.

Line: results whose serialisation misbehaves
End: errored RuntimeError: Task got bad yield
"""

from workers import WorkflowEntrypoint


class Nonsense:
    def __await__(self):
        yield {"not": "a future"}


class Meta(type):
    def __call__(cls, *arguments):
        made = object.__new__(cls)
        made.__dict__["run"] = lambda event, step: Nonsense()
        return made

    def __getattribute__(cls, name):
        if name == "run":
            return print
        return type.__getattribute__(cls, name)

    def __instancecheck__(cls, other):
        raise SystemExit("no check")

    __subclasscheck__ = __eq__ = __bool__ = __instancecheck__

    def __hash__(cls):
        raise SystemExit("no hash")


class TenantWorkflow(WorkflowEntrypoint, metaclass=Meta):
    @property
    def __class__(self):
        raise SystemExit("no class")
