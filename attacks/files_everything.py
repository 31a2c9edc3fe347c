"""Walk every directory from the root and the working directory for anything beside Python's own files.

Line: host file and /proc reads
End: complete []
"""

import os
import sys

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        python = (os.path.dirname(os.__file__), os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix))
        found = []
        for start in (
            "/",
            ".",
            "..",
            "/home",
            "/root",
            "/etc",
            "/var",
            "/tmp",
            "/run",
            "/work",
            "/srv",
            "/mnt",
            "/opt",
            "/boot",
        ):
            for folder, _, files in os.walk(start):
                if not os.path.realpath(folder).startswith(python):
                    found += [os.path.join(folder, file) for file in files]
        return found[:20]
