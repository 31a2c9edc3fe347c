"""The states of the page that the gallery shows, each brought about as a person would; the order is that of the sheet.

A scene is a function of the stage that ends when the page shows what its docstring says. What a run waits for in a
scene lasts longer than its pictures take. A new state of the page is a new function in one of the files below.
"""

import re
from collections.abc import Callable
from types import ModuleType

import gallery_runs
import gallery_site
import gallery_start
from gallery_stage import Stage

Scene = Callable[[Stage], object]
FILES = (gallery_start, gallery_runs, gallery_site)


def all_scenes(matching: str = "") -> dict[str, Scene]:
    """The scenes by name, in the order of their files."""
    scenes = {scene.__name__.replace("_", "-"): scene for file in FILES for scene in _scenes_of(file)}
    return {name: scene for name, scene in scenes.items() if re.search(matching, name)}


def _scenes_of(file: ModuleType) -> list[Scene]:
    own = [value for value in vars(file).values() if getattr(value, "__module__", "") == file.__name__]
    return [scene for scene in own if not scene.__name__.startswith("_")]
