"""Change what it can read: modes, owners, times, names, links, lengths.

Line: writes
End: complete []
"""

import os

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        path = os.__file__
        ways = {
            "chmod": lambda: os.chmod(path, 0o777),
            "chown": lambda: os.chown(path, os.getuid(), os.getgid()),
            "utime": lambda: os.utime(path),
            "truncate": lambda: os.truncate(path, 0),
            "rename": lambda: os.rename(path, path + ".old"),
            "unlink": lambda: os.unlink(path),
            "link": lambda: os.link(path, path + ".two"),
            "rmdir": lambda: os.rmdir(os.path.dirname(path)),
            "setxattr": lambda: os.setxattr(path, "user.attack", b"1"),
            "append": lambda: open(path, "a"),
            "open to write": lambda: os.open(path, os.O_RDWR),
            "open to truncate": lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
        }
        done = []
        for name, way in ways.items():
            try:
                way()
                done.append(name)
            except OSError:
                pass
        return done
