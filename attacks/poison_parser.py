"""Leave hooks that would run in whatever this process does next: imports, audit, tracing, exit, threads' excepthook.

Line: poison left for the next tenant
End: complete "hooked"
"""

import atexit
import sys
import threading
import warnings

from workers import WorkflowEntrypoint


class Finder:
    def find_spec(self, *arguments):
        raise ImportError("poisoned")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        sys.meta_path.insert(0, Finder())
        sys.path_hooks.clear()
        sys.addaudithook(lambda name, arguments: None)
        sys.settrace(lambda *arguments: None)
        sys.setprofile(lambda *arguments: None)
        sys.excepthook = threading.excepthook = sys.unraisablehook = lambda *arguments: None
        atexit.register(print, "poisoned")
        warnings.simplefilter("error")
        sys.stdout.close()
        return "hooked"
