"""Background tasks on reports."""

from __future__ import annotations

from django_tasks import task

from emo_site import command_output


@task
def export_report(report: str, file_format: str = "html") -> dict[str, str]:
    """Writes `report` (orders, institutional) as one file below data/ on this host; returns its path."""
    return {"path": command_output.text("export_report", report, "--format", file_format).strip()}
