"""Unpack a kilobyte into gigabytes, by every packer there is, and by formatting, repeating and joining.

Line: memory bombs
End: complete [] | errored LimitExceeded: processor time | errored LimitExceeded: not answering
"""

import bz2
import gzip
import json
import lzma

from workers import WorkflowEntrypoint

ZEROS = bytes(1 << 20)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        zipped, wound, squeezed = (packer.compress(ZEROS) * 256 for packer in (gzip, bz2, lzma))
        held = []
        for name, way in {
            "gzip": lambda: gzip.decompress(zipped),
            "bz2": lambda: bz2.decompress(wound),
            "lzma": lambda: lzma.decompress(squeezed),
            "format": lambda: f"{1:>{1 << 30}}",
            "repeat": lambda: b"x" * (1 << 40),
            "join": lambda: ("x" * (1 << 20)).join("x" * 1_000),
            "shift": lambda: 1 << (1 << 33),
            "JSON": lambda: json.loads("[" * 900 + "0," * 90_000_000 + "0" + "]" * 900),
            "percent": lambda: "%*d" % (1 << 30, 1),
            "encoding": lambda: ("\U0010ffff" * (1 << 24)).encode("unicode_escape"),
        }.items():
            try:
                way()
                held.append(name)
            except (MemoryError, OverflowError):
                pass
        return held
