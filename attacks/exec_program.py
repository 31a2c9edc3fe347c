"""Run a program in its place, or beside it: a shell, Python itself, by a descriptor, through subprocess.

Line: kill/fork/exec/thread bombs
End: complete []
Danger: fork
"""

import asyncio
import multiprocessing
import os
import subprocess
import sys

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        python = os.path.realpath(sys.executable)
        own = os.open(os.__file__, os.O_RDONLY)
        ways = {
            "exec": lambda: os.execv(python, ["python", "-c", ""]),
            "exec a shell": lambda: os.execv("/bin/sh", ["sh"]),
            "exec a descriptor": lambda: os.execve(own, ["x"], {}),
            "spawn": lambda: os.posix_spawn(python, ["python"], {}),
            "subprocess": lambda: subprocess.run([python, "-c", ""]),
            "popen": lambda: os.popen("true").read() and None,
            "multiprocessing": lambda: multiprocessing.get_context("spawn").Process(target=print).start(),
        }
        ran = []
        for name, way in ways.items():
            try:
                way()
                ran.append(name)
            except (OSError, RuntimeError, ImportError, ValueError, AttributeError):
                pass
        try:
            await asyncio.create_subprocess_exec(python)
            ran.append("asyncio")
        except (OSError, RuntimeError, NotImplementedError):
            pass
        if os.system("true") == 0:
            ran.append("a shell")
        return ran
