"""Jinja, set up once: escaping is always on, and the few filters that templates use are here."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup

from playground.web.indented_json import indent_json, untag_value
from playground.web.instance_view import first_error, omitted_errors, step_label, steps_in_order
from playground.web.pages.assets import Assets
from playground.workflows.compare import took_ms

# In JSON these signs stand in strings only, where an escape may take their place.
_SCRIPT_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)

# Seconds of a unit, and of the next smaller one, which is told beside it.
_DURATION_UNITS = (
    (31_536_000, "y", 86_400, "d"),
    (86_400, "d", 3_600, "h"),
    (3_600, "h", 60, "min"),
    (60, "min", 1, "s"),
)


class Rendering:
    """Renders templates."""

    def __init__(self, folder: Path, assets: Assets) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["asset"] = assets.url
        self._environment.globals["files"] = assets.imports_of
        self._environment.globals["modules"] = partial(_preload_links, assets)
        self._environment.globals.update(
            steps_in_order=steps_in_order, first_error=first_error, left_out_errors=omitted_errors, took_ms=took_ms
        )
        self._environment.filters.update(
            json_script=json_script, json_text=json_text, time=time_text, duration=duration_text, label=step_label
        )

    def render(self, name: str, context: dict[str, Any]) -> str:
        """The HTML of a template."""
        return self._environment.get_template(name).render(context)


def _preload_links(assets: Assets, name: str, later: str | None = None, *, itself: bool = False) -> Markup:
    """Asks for the files that a script needs; with `itself`, for the script too."""
    files = assets.imports_of(name, later) + ([assets.url(name)] if itself else [])
    return Markup("\n").join(Markup('<link rel="modulepreload" href="{}">').format(file) for file in files)


def json_script(value: Any) -> Markup:
    """JSON that can stand inside <script type="application/json">: nothing in it can end the element or begin a
    comment.
    """
    return Markup(json_script_bytes(value).decode())


def json_script_bytes(value: Any) -> bytes:
    """The same in UTF-8."""
    text = msgspec.json.encode(value)
    for sign, escaped in _SCRIPT_ESCAPES:
        text = text.replace(sign, escaped)
    return text


def json_text(value: Any) -> str:
    """JSON for people to read, indented."""
    return indent_json(msgspec.json.encode(untag_value(value)))


def time_text(at: int | None) -> str:
    """Epoch milliseconds as `2026-01-31 10:00:00.123` (UTC)."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def duration_text(ms: float | None) -> str:
    """Milliseconds as `320 µs`, `12 ms`, `3.27 s`, `12 s`, `3 min 4 s`, `2 h 5 min` or `3 d 4 h`: as `lasting` of
    static/js/run/words.js has them.
    """
    if ms is None:
        return ""
    if 0 < ms < 0.9995:
        return f"{max(1, _rounded(ms * 1_000, '1'))} µs"
    if ms < 1_000:
        return f"{_rounded(max(0, ms), '0.1' if ms < 9.95 else '1'):f}".removesuffix(".0") + " ms"
    if ms < 59_950:
        shown = _rounded(ms / 1000, "0.01" if ms < 10_000 else "0.1")
        return f"{shown:f}".rstrip("0").rstrip(".") + " s"
    seconds = int(ms + 500) // 1_000
    size, unit, part, lower = next(it for it in _DURATION_UNITS if seconds >= it[0])
    rest = seconds % size // part
    return f"{seconds // size} {unit}" + (f" {rest} {lower}" if rest else "")


def _rounded(number: float, place: str) -> Decimal:
    return Decimal(number).quantize(Decimal(place), ROUND_HALF_UP)
