"""A report on paper: real PDF, and nothing fetched for it."""

from __future__ import annotations

import builtins
import logging
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from reporting import health_report, order_review, printing
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def _report() -> health_report.InstitutionalReport:
    finding = Finding(status=HealthStatus.ERROR, message="<img src=http://127.0.0.1:9/x> is no picture")
    disk = ProbeResult(name="disk", critical=False, finding=finding, at=NOW, response_ms=1.0)
    return health_report.build(now=NOW, results=[disk])


def test_both_reports_are_printed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="weasyprint"):
        for report in (_report(), order_review.build(now=NOW)):
            pdf = printing.pdf_file(report)
            assert pdf.startswith(b"%PDF-")
            assert pdf.rstrip().endswith(b"%%EOF")
    # Something that could not be fetched or drawn would be an error there.
    assert caplog.records == []


def test_drawings_bear_their_colours() -> None:
    styled = printing._with_styled_drawings('<p>&lt;svg&gt;</p><svg viewBox="0 0 1 1"><path class="series"/></svg>')
    assert styled.count("<style>") == 1
    assert '<svg viewBox="0 0 1 1"><style>' in styled
    assert ".series { fill: none; stroke: #1f5fbf;" in styled


def test_a_machine_that_can_not_print_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return there(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(printing.CannotPrint, match=r"libpango-1\.0-0 libpangoft2.*cannot load library"):
        printing.pdf_file(_report())
    target = tmp_path / "orders.pdf"
    with pytest.raises(CommandError, match="PDF needs WeasyPrint"):
        call_command("export_report", "orders", "--format=pdf", f"--output={target}")
    assert list(tmp_path.iterdir()) == []


def test_export_writes_a_pdf(tmp_path: Path) -> None:
    target = tmp_path / "orders.pdf"
    call_command("export_report", "orders", "--format=pdf", f"--output={target}", verbosity=0)
    assert target.read_bytes().startswith(b"%PDF-")


def test_export_of_a_past_moment(tmp_path: Path) -> None:
    target = tmp_path / "past.html"
    call_command("export_report", "institutional", "--at=2025-11-03T15:00:00Z", f"--output={target}")
    assert "A moment of the past." in target.read_text()


@pytest.mark.parametrize(
    ("report", "at", "error"),
    [
        ("institutional", "then", "--at=then: must be a time in ISO 8601"),
        ("institutional", "2999-01-01", "--at=2999-01-01: must not be in the future"),
        ("orders", "2025-11-03", "--at is for the institutional report"),
    ],
)
def test_export_refuses_a_moment_that_is_none(tmp_path: Path, report: str, at: str, error: str) -> None:
    with pytest.raises(CommandError, match=error):
        call_command("export_report", report, f"--at={at}", f"--output={tmp_path / 'x'}")
    assert list(tmp_path.iterdir()) == []
