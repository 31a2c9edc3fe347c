"""The page's files as the build made them (web/build.mjs): compressed, under names that hold the hash of their content.

So a browser may keep each for good, and a page of another build asks for other files. The build's manifest says which
file is meant by a name that templates use: `js/app.js` is `/static/js/app-HASH.js`.
"""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.web.http.errors import NotFound
from playground.web.http.responses import IMMUTABLE, not_modified

MANIFEST = "manifest.json"
ENCODINGS = {"br": ".br", "gzip": ".gz"}  # as a browser names them, the best first, and how their files end
READ_ON_REQUEST = (".map",)  # large, and for who looks for an error only

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".map": "application/json",
    ".wasm": "application/wasm",
}


class Entry(msgspec.Struct, frozen=True):
    """What the manifest has for a name: the file, what a script needs to run, and by name what it loads later."""

    file: str
    imports: tuple[str, ...] = ()
    later: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: what is sent of it by encoding ("" for none), the content or where that is read."""

    type: str
    etag: str
    encoded: Mapping[str, bytes | Path]


@dataclass(frozen=True, slots=True)
class Assets:
    """Every file of the bundle, read once."""

    entries: Mapping[str, Entry]
    files: Mapping[str, Asset]

    @classmethod
    def from_folder(cls, folder: Path) -> "Assets":
        """What is in the folder of a build."""
        entries = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, Entry])
        beside = (MANIFEST, *ENCODINGS.values())
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(beside))
        return cls(entries, {path.relative_to(folder).as_posix(): _read_asset(path) for path in paths})

    def url(self, name: str) -> str:
        """The address of the file that is meant by a name."""
        return _asset_url(self.entries[name].file)

    def imports_of(self, name: str, later: str | None = None) -> list[str]:
        """The addresses of what a script needs before it runs; with `later`, of what it then loads under that name."""
        entry = self.entries[name]
        return [_asset_url(file) for file in (entry.imports if later is None else entry.later[later])]

    def asset_response(self, request: Request, path: str) -> Response:
        """The file, or that it is unchanged. Raises NothingHere."""
        asset = self.files.get(path)
        if asset is None:
            raise NotFound("There is no such file.")
        headers = {"ETag": asset.etag, "Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding"}
        if (known := not_modified(request, headers)) is not None:
            return known
        accepted = {name.strip() for name in request.headers.get("accept-encoding", "").split(",")}
        encoding = next((it for it in ENCODINGS if it in asset.encoded and it in accepted), "")
        if encoding:
            headers["Content-Encoding"] = encoding
        content = asset.encoded[encoding]
        return Response(
            content.read_bytes() if isinstance(content, Path) else content, media_type=asset.type, headers=headers
        )


def _asset_url(file: str) -> str:
    return f"/static/{file}"


def _read_asset(path: Path) -> Asset:
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    found = {"": path} | {name: path.with_name(path.name + end) for name, end in ENCODINGS.items()}
    there = {name: it for name, it in found.items() if it.is_file()}
    forms = there if path.suffix in READ_ON_REQUEST else {name: it.read_bytes() for name, it in there.items()}
    return Asset(kind, f'"{path.name}"', forms)
