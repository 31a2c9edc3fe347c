"""Static files, read once and served from memory: compressed once, cached by browsers for good under an address that holds their hash.

`/static/v-HASH/js/main.js`, so that a script's relative imports stay within the same version. Without the version a file is
revalidated by its ETag. The built editor appears under `editor/`.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from playground.web.http.errors import NothingHere
from playground.web.http.responses import FOR_GOOD, unchanged

ASK_FIRST = "no-cache"
WORTH_COMPRESSING = (
    "text/",
    "application/javascript",
    "application/json",
    "image/svg+xml",
    "application/manifest+json",
    "application/wasm",
)
COMPRESS_FROM_BYTES = 500
RECHECK_MS = 1_000  # how often a page looks whether a developer changed a file

_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".map": "application/json",
    ".wasm": "application/wasm",
}


@dataclass(slots=True)
class Asset:
    """One file's content; `packed` is its gzip form, made when first asked for."""

    content: bytes
    type: str
    etag: str
    packed: bytes | None = None

    def gzipped(self) -> bytes | None:
        """The compressed content, or None when that is not worth it."""
        if self.packed is None:
            worth = self.type.startswith(WORTH_COMPRESSING) and len(self.content) >= COMPRESS_FROM_BYTES
            self.packed = gzip.compress(self.content, 9, mtime=0) if worth else b""
        return self.packed or None


@dataclass(slots=True)
class Assets:
    """Every static file. `roots` maps a prefix ("" or "editor/") to a folder."""

    roots: Mapping[str, Path]
    version: str = ""
    files: dict[str, Asset] = field(default_factory=dict)
    _signature: tuple[tuple[str, int, int], ...] = ()
    _checked_at: int = -RECHECK_MS

    def refresh(self, now: int) -> None:
        """Read the files anew when one changed. `now` is epoch milliseconds; at most one look a second."""
        if now - self._checked_at < RECHECK_MS:
            return
        self._checked_at = now
        found = {
            prefix + path.relative_to(root).as_posix(): path
            for prefix, root in self.roots.items()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        stats = {name: path.stat() for name, path in found.items()}
        signature = tuple((name, it.st_mtime_ns, it.st_size) for name, it in stats.items())
        if signature == self._signature:
            return
        self._signature = signature
        self.files = {name: _read(path) for name, path in found.items()}
        whole = hashlib.sha256("".join(f"{name} {asset.etag}\n" for name, asset in sorted(self.files.items())).encode())
        self.version = whole.hexdigest()[:12]

    def url(self, name: str) -> str:
        """The address of a file, with its version."""
        return f"/static/v-{self.version}/{name}"

    def respond(self, request: Request, path: str) -> Response:
        """The file, or that it is unchanged. Raises NothingHere."""
        caching, (first, _, rest) = ASK_FIRST, path.partition("/")
        if first.startswith("v-") and rest:
            path = rest
            caching = FOR_GOOD if first == f"v-{self.version}" else ASK_FIRST
        asset = self.files.get(path)
        if asset is None:
            raise NothingHere("There is no such file.")
        headers = {"ETag": asset.etag, "Cache-Control": caching, "Vary": "Accept-Encoding"}
        if (known := unchanged(request, headers)) is not None:
            return known
        content = asset.content
        packed = asset.gzipped() if "gzip" in request.headers.get("accept-encoding", "") else None
        if packed is not None:
            content, headers["Content-Encoding"] = packed, "gzip"
        return Response(content, media_type=asset.type, headers=headers)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, kind, f'"{hashlib.sha256(content).hexdigest()[:20]}"')
