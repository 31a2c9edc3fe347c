"""Walk all of its memory, page by page, and every object there is, for what the fork server or another tenant left in
it.

Line: host file and /proc reads
End: complete []
"""

import ctypes
import gc

from workers import WorkflowEntrypoint

PAGE = 4096
FAULT = 14
# Written backwards, so that they stand nowhere but where they are looked for: an innocent's source, settings, addresses
# of the server.
SOUGHT = [
    word[::-1]
    for word in (
        "tneve ,olleH",
        "_DNUORGYALP",
        "nekot_rotarepo",
        "nekot_lortnoc",
        "bd.dnuorgyalp",
        "kcab//:etilqs",
        ":reraeB",
    )
]


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        words = [word.encode() for word in SOUGHT]
        own = {id(held) + bytes.__basicsize__ - 1 for held in words} | {
            id(held) + str.__basicsize__ - 25 for held in SOUGHT
        }
        found = set()

        def readable(page):
            return libc.access(ctypes.c_void_p(page), 0) == 0 or ctypes.get_errno() != FAULT

        near = sorted({id(held) >> 28 for held in gc.get_objects()} | {id(libc) >> 28})
        for region in near:
            for page in range(region << 28, (region + 1) << 28, PAGE):
                if not readable(page):
                    continue
                text = ctypes.string_at(page, PAGE)
                for word in words:
                    at = text.find(word)
                    while at >= 0:
                        if not any(abs(page + at - known) < 64 for known in own):
                            found.add(word.decode())
                        at = text.find(word, at + 1)
        return sorted(found)
