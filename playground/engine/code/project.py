"""What a source is as a project for Cloudflare: its workflow class, and whether it handles requests itself.

A child in the sandbox finds it (`analysis`), so it is read like all that comes from there, or not at all. The name is
written into code and settings of the project, so it is a plain one; Cloudflare passes over one that begins with `_`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NO_CLASS = (
    "no class that can be taken to Cloudflare. Write one `class …(WorkflowEntrypoint)` whose name has ASCII letters, "
    "digits and _, and begins with a letter."
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Project:
    """`has_default`: the source has a class `Default`, whose `fetch` answers requests."""

    class_name: str
    has_default: bool


def read_project(found: Mapping[str, Any]) -> Project | None:
    """What the sandbox says; None where there is no workflow class of a plain name."""
    name = found.get("class_name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    return Project(name, found.get("has_default") is True)
