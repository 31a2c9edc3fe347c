"""The editor's completion of the operator's packages: what the end of a line asks for, and what is offered then."""

from typing import Any

import pytest
from page_code_support import RUN, node

MODULE = RUN.parent.parent.parent / "web" / "src" / "packages.js"
PACKAGES = [
    {"name": "numpy", "version": "2.4.6", "modules": ["numpy"], "names": {"numpy": ["array", "ndarray"]}},
    {"name": "PyYAML", "version": "6.0", "modules": ["_yaml", "yaml"], "names": {"yaml": ["YAMLError", "safe_load"]}},
]
SOURCE = """import numpy as np, json
    import yaml  # in a function
from numpy import linalg
import workers
import os.path
text = "np."
"""


def asked(lines: list[str]) -> list[Any]:
    return list(
        node(
            f"""
            const {{ importsOf, wantedAt, offered }} = await import("file://{MODULE}");
            const imports = importsOf(given.source);
            return given.lines.map((line) => {{
              const wanted = wantedAt(line, imports);
              return wanted && [wanted.typed, offered(wanted, given.packages).map(({{ label }}) => label)];
            }});
            """,
            {"source": SOURCE, "lines": lines, "packages": PACKAGES},
        )
    )


@pytest.mark.parametrize(
    ("line", "typed", "labels"),
    [
        ("import ", "", ["numpy", "yaml"]),
        ("    from nu", "nu", ["numpy", "yaml"]),
        ("import json, y", "y", ["numpy", "yaml"]),
        ("from yaml import ", "", ["YAMLError", "safe_load"]),
        ("from yaml import (YAMLError, sa", "sa", ["YAMLError", "safe_load"]),
        ("x = np.ar", "ar", ["array", "ndarray"]),
        ("call(yaml.", "", ["YAMLError", "safe_load"]),
        ("from nowhere import ", "", []),
        ("json.lo", "lo", []),
    ],
)
def test_modules_and_names_are_offered_where_they_are_asked_for(line: str, typed: str, labels: list[str]) -> None:
    assert asked([line]) == [[typed, labels]]


def test_nothing_is_asked_for_elsewhere() -> None:
    lines = [
        "from workers import Wo",
        "workers.",
        "self.np.",
        "numpy.ar",
        "x = nu",
        "np.linalg.",
        "step.",
        "os.pa",
        "1.5",
    ]
    assert asked(lines) == [None] * len(lines)
