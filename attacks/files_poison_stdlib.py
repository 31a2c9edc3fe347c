"""Poison the standard library on disk: replace a module, plant bytecode, add a .pth file and a sitecustomize.

Line: poisoned stdlib
End: complete []
"""

import json
import os
import py_compile
import sysconfig

from workers import WorkflowEntrypoint

POISON = "raise SystemExit('poisoned')\n"


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        stdlib = sysconfig.get_path("stdlib")
        targets = (
            json.__file__,
            os.path.join(stdlib, "sitecustomize.py"),
            os.path.join(stdlib, "usercustomize.py"),
            os.path.join(stdlib, "site-packages", "poison.pth"),
            os.path.join(os.path.dirname(json.__file__), "__pycache__", "poison.pyc"),
        )
        poisoned = []
        for target in targets:
            try:
                with open(target, "w") as file:
                    file.write(POISON)
                poisoned.append(target)
            except OSError:
                pass
        try:
            py_compile.compile(json.__file__, doraise=True)
            poisoned.append("bytecode")
        except (OSError, py_compile.PyCompileError):
            pass
        return poisoned
