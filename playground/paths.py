"""The folders of the page's files: next to the package in a checkout, inside it in a wheel.

Scripts and styles are a package of their own, which the build makes.
"""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# The build (hatch_build.py) makes it from static/ and web/; it has dist/manifest.json and the files that this lists.
BUNDLE_PACKAGE = "playground_bundle"
SECURITY = "SECURITY.md"
DOCUMENTS = "documents"  # where a wheel has those of docs/ that are served


class MissingFiles(RuntimeError):
    """The installation lacks files that the page needs; the message says which."""


def templates() -> Path:
    """The folder of Jinja templates."""
    return _folder("templates")


def security() -> Path:
    """The file SECURITY.md: what this server protects, and how to report a vulnerability."""
    for file in (PACKAGE / SECURITY, PACKAGE.parent / SECURITY):
        if file.is_file():
            return file
    raise MissingFiles(f"{SECURITY} is neither in {PACKAGE} nor next to it; install the package again")


def document(name: str) -> Path:
    """A document of the folder docs/, by its name."""
    for file in (PACKAGE / DOCUMENTS / name, PACKAGE.parent / "docs" / name):
        if file.is_file():
            return file
    raise MissingFiles(f"docs/{name} is neither in {PACKAGE} nor next to it; install the package again")


def bundle() -> Path:
    """The folder of the scripts, styles and icons that are served."""
    spec = find_spec(BUNDLE_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "dist"
        if (folder / "manifest.json").is_file():
            return folder
    raise MissingFiles(f"{BUNDLE_PACKAGE}, which the build makes, is missing; install the package again")


def _folder(name: str) -> Path:
    for folder in (PACKAGE / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise MissingFiles(f"the folder {name}/ is neither in {PACKAGE} nor next to it; install the package again")
