"""`playground packages`: install what code may import, as a server would at its start, and list it.

For images and machines without a network: what is installed when an image is built is there when a server starts. No
code of a package runs.
"""

import argparse
import asyncio
from dataclasses import asdict, replace

from playground.opening import install_configured_packages
from playground.settings import setting_label
from playground.terminal.narration import plain
from playground.terminal.outcomes import OK, BadCommand
from playground.terminal.places import Place
from playground.terminal.screen import Screen


async def packages(options: argparse.Namespace, place: Place, screen: Screen) -> int:
    """Carry out `playground packages`; returns the exit status.

    Raises:
        BadCommand: no file is named.
        BadSetting: its packages can't be had.
    """
    settings = replace(place.settings, packages=options.file or place.settings.packages)
    if not settings.packages:
        raise BadCommand(f"name a requirements file, or set {setting_label('packages')}")
    found = await asyncio.to_thread(install_configured_packages, settings, place.environment)
    assert found is not None, "a file is named"
    for package in found.packages:
        screen.json("package", **asdict(package))
        screen.print(plain(f"{package.name} {package.version}  {', '.join(package.modules)}"))
    screen.json("packages", folder=found.folder)
    screen.print(f"in {plain(found.folder)}")
    return OK
