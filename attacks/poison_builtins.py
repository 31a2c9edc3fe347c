"""Poison the interpreter it was given: builtins, modules, random numbers, the tenant API itself.

Line: poison left for the next tenant
End: complete "poisoned"
"""

import builtins
import gc
import json
import random
import sys
import time

import workers
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        random.seed(1)
        random.random = lambda: 0.5
        time.time = lambda: 0
        json.loads = lambda *arguments: {"op": "poisoned"}
        builtins.len = lambda thing: 0
        builtins.isinstance = lambda *arguments: True
        workers.WorkflowEntrypoint = None
        sys.setswitchinterval(1_000)
        gc.disable()
        for name in list(sys.modules):
            if name.startswith("playground"):
                del sys.modules[name]
        channel = getattr(step, "_channel", None)
        if channel is not None:
            type(channel).post = lambda self, frame: None
        builtins.len, builtins.isinstance = [].__class__.__len__, (lambda thing, kind: kind in type(thing).__mro__)
        data = b'{"op":"finish","output":"poisoned"}'
        import os

        os.write(3, bytes([0, 0, 0, data.__len__()]) + data)
        time.sleep(1_000)
