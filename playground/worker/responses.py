"""`Response` of the `workers` module, and `FetchResponse`, which a fetch gives."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


class Headers(Mapping[str, str]):
    """Headers, read without regard to case. Of a name that comes several times the values have a comma between them;
    `get_all` gives them one by one.
    """

    def __init__(self, headers: Any = ()) -> None:
        pairs = headers.items() if hasattr(headers, "items") else headers or ()
        self._pairs = [(str(name), str(value)) for name, value in pairs]

    def get_all(self, name: str) -> list[str]:
        """All values of a name."""
        return [value for each, value in self._pairs if each.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        found = self.get_all(name)
        if not found:
            raise KeyError(name)
        return ", ".join(found)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._pairs))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


class Response:
    """A response: a body (text, bytes or None), a status and headers."""

    status_text = ""
    url = ""
    redirected = False

    def __init__(self, body: Any = None, status: int = 200, headers: Any = None, status_text: str = "") -> None:
        self.body, self.status, self.headers = body, int(status), Headers(headers)
        self.status_text = status_text

    @classmethod
    def json(cls, data: Any, **options: Any) -> "Response":
        """A response whose body is JSON."""
        options["headers"] = {"content-type": "application/json", **dict(options.get("headers") or {})}
        return Response(json.dumps(data), **options)

    @property
    def ok(self) -> bool:
        """Whether its status is from 200 to 299."""
        return 200 <= self.status < 300

    async def bytes(self) -> bytes:
        """Its body as bytes."""
        body = b"" if self.body is None else self.body
        return body.encode() if isinstance(body, str) else bytes(body)

    async def text(self) -> str:
        """Its body as text, read as UTF-8; what is none is replaced."""
        return self.body if isinstance(self.body, str) else (await self.bytes()).decode("utf-8", "replace")


class FetchResponse(Response):
    """The answer to a fetch, which is here whole.

    `status`, `status_text`, `ok`, `headers`, `url` (after redirects), `redirected` and `body` (bytes) are attributes;
    `text`, `json`, `bytes` and `buffer` are awaited, as where a body still comes.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(answer["body"], answer["status"], answer["headers"], answer["status_text"])
        self.url, self.redirected = answer["url"], answer["redirected"]

    def __repr__(self) -> str:
        return f"<FetchResponse {self.status} {self.url}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a response has no {name!r} here; it has: status, status_text, ok, headers, url, redirected, body, "
            "text(), json(), bytes(), raise_for_status()"
        )

    async def json(self) -> Any:  # type: ignore[override]  # of Cloudflare's two classes one makes it, the other reads
        """The value of its body, which is JSON. Raises ValueError."""
        return json.loads(await self.bytes())

    async def buffer(self) -> bytes:
        """Its body as bytes."""
        return await self.bytes()

    async def string(self) -> str:
        """Its body as text."""
        return await self.text()

    def raise_for_status(self) -> None:
        """Raises OSError for a status from 400 on, so that the step is tried again."""
        if self.status >= 400:
            raise OSError(f"{f'{self.status} {self.status_text}'.strip()} for {self.url}")

    def clone(self) -> "FetchResponse":
        """The same answer."""
        return self
