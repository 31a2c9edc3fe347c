"""Tenants for tests over HTTP: keys made as an operator makes them, and clients that carry them."""

from typing import Any

import httpx2
from dispatch_support import workflow
from http_support import Site

from playground import commands

ECHO = workflow("return event['payload']")
WAITS = workflow('got = await step.wait_for_event("go", "go", timeout="1 hour")\nreturn got["payload"]')


class Tenant:
    """One tenant of a site, with a key."""

    def __init__(self, site: Site, name: str, key: str | None = None) -> None:
        self.site, self.name = site, name
        self.key = key if key is not None else make_key(site, name)

    def ask(self, method: str, path: str = "", **given: Any) -> httpx2.Response:
        """A request for something of the tenant's, with its key."""
        headers = {"Authorization": f"Bearer {self.key}", **given.pop("headers", {})}
        return self.site.client.request(method, f"/api/tenants/{self.name}{path}", headers=headers, **given)

    def deploy(self, source: str = ECHO, **body: Any) -> dict[str, Any]:
        answer = self.ask("PUT", "/workflow", json={"source": source, **body})
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    def create(self, **body: Any) -> dict[str, Any]:
        answer = self.ask("POST", "/instances", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def until(self, id: str, *statuses: str) -> dict[str, Any]:
        """An instance once it has one of these statuses, followed on its stream."""
        while True:
            found = dict(self.ask("GET", f"/instances/{id}").json())
            if found["status"] in statuses:
                return found
            self.ask("GET", f"/instances/{id}/events", params={"after": found["last_seq"]})

    def finish(self, id: str) -> dict[str, Any]:
        return self.until(id, "complete", "errored", "terminated")


def make_key(site: Site, name: str) -> str:
    """A new key, as `playground tenant-key create` prints it."""
    said: list[str] = []
    commands.run(["tenant-key", "create", name, "--database", site.settings.database], {}, said.append)
    return said[0]
