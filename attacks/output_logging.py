"""Log records that misbehave when they are formatted, with a name and a level of their own, very many of them.

Line: stdout flood
End: complete "logged"
"""

import logging

from workers import WorkflowEntrypoint


class Bad:
    def __str__(self):
        raise SystemExit("never")

    __repr__ = __str__


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        logging.addLevelName(77, "LEVEL" * 1_000)
        for _ in range(300):
            for arguments in (("%s", Bad()), ("%d", "x"), ("x" * 20_000,)):
                try:
                    logging.getLogger("name" * 500).log(77, *arguments)
                except SystemExit:
                    pass
        return "logged"
