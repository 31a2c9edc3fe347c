"""With the operator's packages, where there are some: change what they are, write a file and map one by numpy, take
more memory than a worker may, and have its libraries compute with threads.

Line: poisoned stdlib
End: complete []
"""

import importlib
import os
import sys

from workers import WorkflowEntrypoint

MORE_THAN_A_WORKER_HAS = 1 << 30


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        try:
            numpy = importlib.import_module("numpy")
        except ImportError:
            return []
        folder = os.path.dirname(os.path.dirname(numpy.__file__))
        reached = []
        for name, attempt in {
            "replaced a module": lambda: open(numpy.__file__, "w"),
            "added a module": lambda: open(os.path.join(folder, "poison.py"), "w"),
            "removed a module": lambda: os.unlink(numpy.__file__),
            "changed the manifest": lambda: os.chmod(os.path.join(folder, "playground-packages.json"), 0o777),
            "wrote a file": lambda: numpy.ones(3).tofile("/tmp/poison"),
            "mapped a file": lambda: numpy.memmap(numpy.__file__, mode="r+"),
            "took a gigabyte": lambda: numpy.ones(MORE_THAN_A_WORKER_HAS // 8),
        }.items():
            try:
                attempt()
                reached.append(name)
            except (OSError, MemoryError, ValueError):
                pass
        matrix = numpy.ones((400, 400))
        if float((matrix @ matrix).sum()) != 400.0**3:
            reached.append("computed wrongly")
        if sorted(name for name in os.environ if name not in ("LC_CTYPE", "PWD") and "THREADS" not in name):
            reached.append("an environment")
        if any(path.startswith("/home") or "site-packages" in path for path in sys.path):
            reached.append("a path of the host")
        return reached
