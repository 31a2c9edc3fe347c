"""Where the files of the page are: beside the package in a checkout, inside it in a wheel. The editor's bundle is a package of its own."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
EDITOR_PACKAGE = "playground_editor"  # made by the build (hatch_build.py); holds dist/editor.js and what else esbuild wrote
SECURITY = "SECURITY.md"


class MissingFiles(RuntimeError):
    """The installation lacks files that the page needs; the message says which."""


def static() -> Path:
    """The folder of style sheets, scripts and icons."""
    return _folder("static")


def templates() -> Path:
    """The folder of Jinja templates."""
    return _folder("templates")


def security() -> Path:
    """What this server defends, and how to report a hole in it."""
    for file in (PACKAGE / SECURITY, PACKAGE.parent / SECURITY):
        if file.is_file():
            return file
    raise MissingFiles(f"{SECURITY} is neither in {PACKAGE} nor beside it; install the package again")


def editor() -> Path | None:
    """The folder of the built editor, or None when it was not built: the page then keeps its plain textarea."""
    spec = find_spec(EDITOR_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "dist"
        if (folder / "editor.js").is_file():
            return folder
    return None


def _folder(name: str) -> Path:
    for folder in (PACKAGE / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise MissingFiles(f"the folder {name}/ is neither in {PACKAGE} nor beside it; install the package again")
