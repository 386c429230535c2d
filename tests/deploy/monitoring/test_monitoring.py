"""Every metric and every label that the shipped rules and the dashboard name is one that the desk tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from monitoring import metrics
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from tests.run import PROJECT

pytestmark = pytest.mark.once

FOLDER = PROJECT / "deploy" / "monitoring"
RULES = yaml.safe_load((FOLDER / "emo-desk.rules.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}
# Prometheus' own.
OWN = {"up": {"job", "instance"}}


def documented() -> dict[str, set[str]]:
    """Metric -> its labels; tests/monitoring/test_metrics.py proves the table complete."""
    text = (PROJECT / "docs/observability.md").read_text()
    rows = re.findall(r"^\| `(emo_\w+)` \|([^|]*)\|", text, re.MULTILINE)
    return {name: set(filter(None, re.split(r",?\s+", labels.strip()))) for name, labels in rows}


def told() -> dict[str, set[str]]:
    """With the series that a histogram consists of."""
    found = documented() | OWN
    for name in [name for name in found if name.endswith("_duration_seconds")]:
        labels = found.pop(name)
        found |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
    return found


EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in RULES] + [
    (title, target["expr"]) for title, panel in PANELS.items() for target in panel["targets"]
]


def named(expression: str) -> dict[str, set[str]]:
    """Metric -> the labels that the expression selects by (in its braces)."""
    found: dict[str, set[str]] = {}
    for name, selector in re.findall(r"\b(emo_\w+|up)\b(\{[^}]*\})?", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\"", selector))
    return found


@pytest.mark.parametrize(("place", "expression"), EXPRESSIONS)
def test_metrics_and_labels_are_the_desks(place: str, expression: str) -> None:
    metrics_of = named(expression)
    assert metrics_of, place
    for name, labels in metrics_of.items():
        assert name in told(), f"{place}: {name}"
        assert labels <= told()[name], f"{place}: {name}{labels}"
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.split(r",\s*", group)}
    for name in metrics_of:
        assert grouped <= told()[name], f"{place}: {name} has no {grouped - told()[name]}"


@pytest.mark.parametrize("title", PANELS)
def test_a_legend_names_labels_that_its_expression_leaves(title: str) -> None:
    for target in PANELS[title]["targets"]:
        wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        left = {label for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in re.split(r",\s*", group)}
        assert wanted <= left | ({"instance"} if "by (" not in target["expr"] else set())


def test_every_rule_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["remedy"]
        labels = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        grouped = {label for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in re.split(r",\s*", group)}
        assert labels <= grouped | ({"instance"} if rule["alert"] == "EmoDeskDown" else set())


def test_panels_do_not_lie_on_each_other_and_have_names_of_their_own() -> None:
    assert len(PANELS) == len(DASHBOARD["panels"])
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (column, row)
            for column in range(place["x"], place["x"] + place["w"])
            for row in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_the_labels_that_are_asked_of_the_databases_are_the_documented_ones() -> None:
    """The counters' labels are their own; these are given by hand."""
    finding = Finding(status=HealthStatus.HEALTHY, message="", metrics={"latency_ms": 1.0, "lag_seconds": 0.0})
    result = ProbeResult(name="database:default", critical=True, finding=finding, at=None, response_ms=None)  # type: ignore[arg-type]
    for metric in metrics.databases([result]):
        for sample in metric.samples:
            assert set(sample.labels) == documented()[metric.name]


def test_the_counters_labels_are_the_documented_ones() -> None:
    from emo_site.metrics import instruments

    own: dict[str, Any] = {
        metric._name + ("_total" if metric._type == "counter" else ""): metric._labelnames
        for metric in vars(instruments).values()
        if hasattr(metric, "_labelnames")
    }
    assert own
    assert {name: set(labels) for name, labels in own.items()} == {
        name: labels for name, labels in documented().items() if name in own
    }


def test_the_scrape_asks_where_the_desk_answers() -> None:
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    [job] = configuration["scrape_configs"]
    assert (job["job_name"], job["metrics_path"], job["authorization"]["type"]) == ("emo-desk", "/metrics", "Bearer")
    assert configuration["rule_files"] == ["emo-desk.rules.yml"]


if shutil.which("promtool"):

    def test_promtool_takes_the_rules() -> None:
        rules = str(FOLDER / "emo-desk.rules.yml")
        ran = subprocess.run(["promtool", "check", "rules", rules], check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
