"""Return containers whose iteration never ends or gives something else each time.

Line: results whose serialisation misbehaves
End: errored LimitExceeded|MemoryError|NotSerialisableError
"""

import itertools

from workers import WorkflowEntrypoint


class Endless(dict):
    def items(self):
        return (("k", number) for number in itertools.count())


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return Endless(a=1)
