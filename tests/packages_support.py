"""The packages that tests let tenants import: numpy and pydantic, installed once into a git-ignored folder."""

from pathlib import Path

from playground.packages.installation import PackageSet, install
from playground.packages.requirements import read_requirements

REQUIREMENTS = Path(__file__).parent / "fixtures" / "packages" / "numpy-and-pydantic.txt"
FOLDER = Path(__file__).parent.parent / ".tools" / "test-packages"


def installed_packages() -> PackageSet:
    """Both with what they need; the first call of a machine downloads 20 MB."""
    return install(read_requirements(REQUIREMENTS), FOLDER)
