"""Background tasks on reports."""

from __future__ import annotations

from typing import Any

from django_tasks import task

from emo_site import command_output


@task
def export_report(report: str, file_format: str = "html") -> dict[str, str]:
    """Writes `report` (orders, institutional, strategies) as one file below data/ on this host; returns its path."""
    return {"path": command_output.text("export_report", report, "--format", file_format).strip()}


@task
def send_health_report() -> dict[str, str]:
    """The institutional report to EMO_REPORT_EMAILS; returns what the command says. Run twice, it is sent twice."""
    return {"said": command_output.text("send_health_report").strip()}


@task
def rollup_performance() -> dict[str, Any]:
    """Rolls up the fills of every strategy that changed; returns how many rows were written, by strategy."""
    done = command_output.document("rollup_performance")
    return {each["strategy"]: each["written"] for each in done["strategies"] if not each["skipped"]}


@task
def summarise_orders() -> dict[str, int]:
    """Sums up the days whose orders changed; returns how many days these were, and how many changes."""
    return dict(command_output.document("summarise_orders"))
