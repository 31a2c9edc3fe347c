"""Read the files in which a host keeps its accounts, keys and settings.

Line: host file and /proc reads
End: complete []
"""

from workers import WorkflowEntrypoint

PLACES = (
    "/etc/passwd",
    "/etc/shadow",
    "/etc/hostname",
    "/root/.ssh/id_rsa",
    "/root/.bash_history",
    "/var/run/docker.sock",
    "/.dockerenv",
)


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        read = []
        for place in PLACES:
            try:
                with open(place, "rb") as file:
                    read.append(f"{place}: {len(file.read())} bytes")
            except OSError:
                pass
        return read
