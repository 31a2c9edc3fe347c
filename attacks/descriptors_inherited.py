"""Look for descriptors that the server or the fork server left open, and read or write what is there.

Line: inherited fds
End: complete []
"""

import os
import stat

from workers import WorkflowEntrypoint

CHANNEL = 3


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        found = []
        for number in range(0, 70_000):
            try:
                kind = os.fstat(number)
            except OSError:
                continue
            null = stat.S_ISCHR(kind.st_mode) and os.major(kind.st_rdev) == 1 and os.minor(kind.st_rdev) == 3
            loop = number > CHANNEL and stat.S_IFMT(kind.st_mode) in (0, stat.S_IFSOCK) and number < 10
            if not (null or loop or number == CHANNEL):
                found.append(number)
        return found
