"""Where the files of the page are: beside the package in a checkout, inside it in a wheel.

Its scripts and styles are a package of their own.
"""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# Made of static/ and web/ by the build (hatch_build.py); holds dist/manifest.json and what that names.
BUNDLE_PACKAGE = "playground_bundle"
SECURITY = "SECURITY.md"


class MissingFiles(RuntimeError):
    """The installation lacks files that the page needs; the message says which."""


def templates() -> Path:
    """The folder of Jinja templates."""
    return _folder("templates")


def security() -> Path:
    """What this server defends, and how to report a hole in it."""
    for file in (PACKAGE / SECURITY, PACKAGE.parent / SECURITY):
        if file.is_file():
            return file
    raise MissingFiles(f"{SECURITY} is neither in {PACKAGE} nor beside it; install the package again")


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
    raise MissingFiles(f"the folder {name}/ is neither in {PACKAGE} nor beside it; install the package again")
