"""Make the calls that kernels were broken through: io_uring, bpf, userfaultfd, perf, keyrings, message queues, modules.

Line: raw and unknown system calls
End: complete []
"""

import ctypes

from workers import WorkflowEntrypoint

CALLS = {
    "io_uring_setup": (425, 8, 0), "bpf": (321, 5, 0, 0), "userfaultfd": (323, 1),
    "perf_event_open": (298, 0, 0, -1, -1, 0), "add_key": (248, 0, 0, 0, 0, -3), "keyctl": (250, 0, -3, 1),
    "request_key": (249, 0, 0, 0, -3), "msgget": (68, 0, 0o1600), "shmget": (29, 0, 4096, 0o1600),
    "semget": (64, 0, 1, 0o1600), "mq_open": (240, 0, 0, 0, 0), "memfd_create": (319, 0, 0), "memfd_secret": (447, 0),
    "init_module": (175, 0, 0, 0), "kexec_load": (246, 0, 0, 0, 0), "modify_ldt": (154, 1, 0, 0),
    "splice": (275, 0, 0, 0, 0, 1, 0), "vmsplice": (278, 1, 0, 0, 0), "tee": (276, 0, 1, 1, 0),
    "inotify_init1": (294, 0), "fanotify_init": (300, 0, 0), "eventfd2": (290, 0, 0), "timerfd_create": (283, 0, 0),
    "signalfd4": (289, -1, 0, 8, 0), "iopl": (172, 3), "ioperm": (173, 0, 1, 1), "pkey_alloc": (330, 0, 0),
    "remap_file_pages": (216, 0, 0, 0, 0, 0), "move_pages": (279, 0, 0, 0, 0, 0, 0), "set_mempolicy": (238, 0, 0, 0),
    "syslog": (103, 2, 0, 0), "acct": (163, 0),
}  # fmt: skip


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        return [name for name, call in CALLS.items() if libc.syscall(*(ctypes.c_long(word) for word in call)) >= 0]
