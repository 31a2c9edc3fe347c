"""Import or read the trusted side of the playground: settings, store, engine, web, and the packages it is built on.

Line: host file and /proc reads
End: complete []
"""

import os

from workers import WorkflowEntrypoint

import playground

ROOMS = (
    "settings",
    "cli",
    "serving",
    "store.sqlite",
    "engine.engine",
    "web.app",
    "web.tokens",
    "sandbox.pool",
    "sandbox.launcher",
)
PACKAGES = ("starlette", "uvicorn", "msgspec", "asyncpg", "pyseccomp", "jinja2", "pip")


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        found = []
        for name in (*PACKAGES, *(f"playground.{room}" for room in ROOMS)):
            try:
                __import__(name)
                found.append(name)
            except (ImportError, OSError):  # without namespaces the file is there, and may not be opened
                pass
        for folder in playground.__path__:
            for room in ROOMS:
                try:
                    with open(os.path.join(folder, room.replace(".", "/") + ".py")) as file:
                        found.append(file.name)
                except OSError:
                    pass
        return found
