"""Write anywhere: temporary folders, the home, the working directory, shared memory.

Line: writes
End: complete []
"""

import os
import tempfile

from workers import WorkflowEntrypoint

FOLDERS = (
    "/",
    ".",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/run",
    "/home",
    "/root",
    "/etc",
    "/app",
    "/app/playground",
    "/sys/fs/cgroup",
)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        written = []
        for folder in FOLDERS:
            path = os.path.join(folder, "attack")
            for way in (
                lambda: open(path, "w"),
                lambda: os.open(path, os.O_CREAT | os.O_RDONLY),
                lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
                lambda: os.mkdir(path),
                lambda: os.symlink("/etc/passwd", path),
                lambda: os.mkfifo(path),
                lambda: os.mknod(path),
            ):
                try:
                    way()
                    written.append(path)
                except OSError:
                    pass
        try:
            tempfile.TemporaryFile()
            written.append("a temporary file")
        except OSError:
            pass
        return written
