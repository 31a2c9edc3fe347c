"""Which packages the operator has added to the standard library, as the folder on the path says that holds them."""

import json
import os
import sys

MANIFEST = "playground-packages.json"  # packages/installation.py writes it


def modules_of_packages() -> tuple[str, ...]:
    """What can be imported of the operator's packages, sorted; nothing where there are none."""
    try:
        for folder in reversed(sys.path):
            path = os.path.join(folder, MANIFEST)
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    packages = json.load(file)["packages"]
                return tuple(sorted({module for package in packages for module in package["modules"]}))
    except Exception:  # noqa: BLE001 - the path, and these modules, may have been altered by the tenant's code
        return ()
    return ()
