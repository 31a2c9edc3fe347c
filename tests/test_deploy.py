"""The dashboard and the alerts in deploy/ ask for metrics that there are, as their kinds allow, and show every one."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from playground.web.http.metrics import COUNTER, GAUGE, HISTOGRAM, INFO, METRICS, PREFIX

ROOT = Path(__file__).parent.parent
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "playground.json"
ENDS = {COUNTER: ("_total",), HISTOGRAM: ("_bucket", "_sum", "_count")}
SERIES = {PREFIX + row.name + end: (row, end) for row in METRICS for end in ENDS.get(row.kind, ("",))}
OF_TARGETS = {"job", "instance", "le"}
OF_INFOS = {"version", "python", "node", "tier", "layers"}
FUNCTIONS = {
    "sum",
    "max",
    "by",
    "rate",
    "increase",
    "histogram_quantile",
    "predict_linear",
    "max_over_time",
    "or",
    "up",
}


def alerts() -> list[tuple[str, str]]:
    return re.findall(r"- alert: (\w+)\n\s+expr: (.+)", ALERTS.read_text())


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression with the alert or panel that it is of."""
    yield from alerts()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_the_dashboard_is_made_from_its_table() -> None:
    spec = importlib.util.spec_from_file_location("dashboard", ROOT / "docs" / "dashboard.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.written() == DASHBOARD.read_text(), "run `./run python docs/dashboard.py`"
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken = set[tuple[int, int]]()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


@pytest.mark.parametrize(("owner", "text"), list(expressions()), ids=lambda text: text if text.isalnum() else "")
def test_it_asks_for_what_there_is(owner: str, text: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', text)
    assert bare.count("(") == bare.count(")") and bare.count("{") == bare.count("}"), owner
    asked = re.findall(r"\b(playground_\w+)(\{[^}]*\})?(\[[^]]*\])?", bare)
    assert asked or re.search(r"\b(up|process_\w+)\{", bare), owner
    for name, labels, window in asked:
        assert name in SERIES, f"{owner}: there is no {name}"
        row, _ = SERIES[name]
        known = OF_TARGETS | ({row.label} if row.label else set()) | (OF_INFOS if row.kind == INFO else set())
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)) <= known, f"{owner}: labels of {name}"
        assert (row.kind in ENDS) == bool(window) or row.kind == GAUGE, f"{owner}: {name} is a {row.kind}"
    for grouped in re.findall(r"by \(([^)]*)\)", bare):
        labels_of = {SERIES[name][0].label for name, _, _ in asked} | OF_TARGETS | OF_INFOS
        assert set(grouped.replace(" ", "").split(",")) <= labels_of, owner
    words = set(re.findall(r"\b[a-z_]+\b(?=\s*\()", bare))
    assert words <= FUNCTIONS, f"{owner}: {words - FUNCTIONS}"
    assert all(name.endswith("_bucket") for name, *_ in asked) or "histogram_quantile" not in bare


def test_every_metric_has_a_panel_and_every_alert_another_name() -> None:
    shown = " ".join(text for owner, text in expressions() if owner not in dict(alerts()))
    assert not [row.name for row in METRICS if not re.search(rf"\b{PREFIX}{row.name}(_total|_bucket)?\b", shown)]
    assert len(dict(alerts())) == len(alerts()) == ALERTS.read_text().count("- alert:") > 15
