"""Fail with a message of forty million characters, surrogates and escapes among them, and a name that is as bad.

Line: exceptions whose __str__ misbehaves
End: errored *: ]0;owned
"""

from workers import WorkflowEntrypoint

Hostile = type(
    "<b>\x1b[2J\n" * 1_000, (Exception,), {"__str__": lambda self: "\x1b]0;owned\x07\ud800</script>" * 2_000_000}
)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        raise Hostile()
