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


# One each of the texts that are drawn alike: where colours, font and classes, up to what is opaque behind them, are the
# same, the contrast of one is the contrast of all. To measure it is most of what a look costs.
DRAWN_ALIKE = """(part) => {
    const others = new Map();
    const isText = (node) => node.matches("input, textarea, select") ||
        [...node.childNodes].some((each) => each.nodeType === Node.TEXT_NODE && each.data.trim());
    const named = (node) => `${node.localName} ${node.getAttribute("class") ?? ""}`;
    for (const node of document.querySelector(part).querySelectorAll("*")) {
        if (!isText(node) || !node.checkVisibility()) continue;
        const own = getComputedStyle(node);
        const key = [own.color, own.fontSize, own.fontWeight, own.textShadow, own.position,
            !!node.closest(":disabled, [aria-disabled=true]")];
        for (let up = node, place = 0; up; up = up.parentElement, place += 1) {
            const { backgroundColor, backgroundImage, opacity, filter } = getComputedStyle(up);
            key.push(place < 4 ? named(up) : "", backgroundColor, backgroundImage, opacity, filter);
            if (place > 4 && /^rgb\\(/.test(backgroundColor)) break;
        }
        const alike = key.join("|");
        if (!others.has(alike)) others.set(alike, node);
    }
    return [...others.values()];
}"""
CONTRAST = "color-contrast"
LOOK = """([part, tags]) => axe.run(part, {
    runOnly: {type: 'tag', values: tags}, rules: {'CONTRAST': {enabled: false}}, resultTypes: ['violations'],
}).then((it) => it.violations)""".replace("CONTRAST", CONTRAST)
LOOK_AT_COLOURS = f"""(part) => {{
    const include = ({DRAWN_ALIKE})(part);
    if (!include.length) return [];
    const options = {{ runOnly: {{ type: "rule", values: ["{CONTRAST}"] }}, resultTypes: ["violations"] }};
    return axe.run({{ include }}, options).then((it) => it.violations);
}}"""


def findings(page: Page, *, within: str = ":root", grave: tuple[str, ...] = GRAVE) -> list[str]:
    """One line for each finding of a grave kind, light and dark: rule, what it says, and where.

    What stays as it is between two looks may be left out by the selector `within`, and a telephone's window, whose
    colours are those of the wide one, is looked at once, in the dark.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    lines = []
    narrow = (page.viewport_size or {"width": NARROW})["width"] < NARROW
    for scheme in SCHEMES[narrow:]:
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(LOOK_AT_COLOURS, within)
        if scheme == SCHEMES[-1]:  # all the rest is the same in both
            found += page.evaluate(LOOK, [within, RULES])
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
