"""What axe-core finds wrong with a page for people who use it by keyboard, by ear or with poor sight."""

import json
from importlib.resources import files
from typing import Any, Literal

from playwright.sync_api import Page

AXE = files("axe_playwright_python").joinpath("axe.min.js")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
GRAVE = ("serious", "critical")
NODES = 3  # named of each finding
NARROW = 600  # CSS pixels


def findings(page: Page, *, within: str = ":root", grave: tuple[str, ...] = GRAVE) -> list[str]:
    """One line for each finding of a grave kind, light and dark: rule, what it says, and where.

    A look takes a second: what stays as it is between two of them may be left out by the selector `within`, and a
    telephone's window, whose colours are those of the wide one, is looked at once, in the dark.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    lines = []
    narrow = (page.viewport_size or {"width": NARROW})["width"] < NARROW
    for scheme in SCHEMES[narrow:]:
        page.emulate_media(color_scheme=scheme)
        # The second look is for what colours can spoil; the rest is as it was.
        second = scheme != SCHEMES[narrow]
        rules = {"type": "rule", "values": ["color-contrast"]} if second else {"type": "tag", "values": RULES}
        found = page.evaluate(
            "([part, only]) => axe.run(part, {runOnly: only, resultTypes: ['violations']}).then(it => it.violations)",
            [within, rules],
        )
        lines += [
            f"{scheme}: {one['id']} ({one['impact']}): {one['help']}: {_where(one['nodes'])}"
            for one in found
            if one["impact"] in grave
        ]
    return lines


def _where(nodes: list[dict[str, Any]]) -> str:
    return json.dumps(
        [(node["target"], node["html"][:120], (node.get("failureSummary") or "")[:200]) for node in nodes[:NODES]]
    )
