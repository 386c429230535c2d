"""Background tasks on reports."""

from __future__ import annotations

from django_tasks import task

from emo_site import command_output


@task
def export_report(report: str, file_format: str = "html") -> dict[str, str]:
    """Writes `report` (orders, institutional) as one file below data/ on this host; returns its path."""
    return {"path": command_output.text("export_report", report, "--format", file_format).strip()}


@task
def send_health_report() -> dict[str, str]:
    """The institutional report to EMO_REPORT_EMAILS; returns what the command says. Run twice, it is sent twice."""
    return {"said": command_output.text("send_health_report").strip()}
