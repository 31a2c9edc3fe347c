"""Take over what its own messages go through: codecs and their errors, JSON, floats' and integers' text, the recursion
limit, the collector, hooks.

Line: poison left for the next tenant
End: complete "taken over" | errored *
"""

import asyncio
import codecs
import encodings
import gc
import json
import locale
import sys

from workers import WorkflowEntrypoint


def lie(*arguments):
    return ("\ud800" * 1_000_000, 0)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for name in ("strict", "replace", "ignore", "surrogateescape", "backslashreplace"):
            codecs.register_error(name, lie)
        codecs.register(lambda name: codecs.CodecInfo(lie, lie, name=name))
        encodings._cache.clear()
        encodings.search_function = lie
        sys.set_int_max_str_digits(0)
        locale.setlocale(locale.LC_ALL, "C")
        gc.set_threshold(1)
        gc.callbacks.append(lambda *arguments: sys.intern("x"))
        asyncio.get_running_loop().set_exception_handler(lambda *arguments: 1 / 0)
        asyncio.get_running_loop().call_exception_handler({"message": "\ud800"})
        sys.breakpointhook = sys.displayhook = sys.excepthook = lie
        print("\ud800" * 10, "é")
        json.encoder.c_make_encoder = json.encoder.encode_basestring = None
        await step.do("x", lambda: "\u00e9" * 1_000)
        sys.setrecursionlimit(60)
        return "taken over"
