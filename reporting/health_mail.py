"""The institutional report as a message: what matters in plain words, the whole of it as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.core.mail import EmailMessage

from emo_site import display
from reporting import rendering
from reporting.health_report import InstitutionalReport

WEEK = timedelta(days=7)


def message(report: InstitutionalReport, *, recipients: Sequence[str], pdf: bytes | None) -> EmailMessage:
    """To all of them at once; `pdf` is None where this machine can't print."""
    score = display.score(report.system_health_score)
    found = EmailMessage(
        subject=f"EMO Desk {report.environment}: {report.system_status}, score {score}",
        body="\n".join(_lines(report, printed=pdf is not None)) + "\n",
        to=list(recipients),
    )
    name = f"institutional_report_{report.timestamp:%Y%m%d_%H%M%S}"
    found.attach(f"{name}.html", rendering.html_file(report), "text/html")
    if pdf is not None:
        found.attach(f"{name}.pdf", pdf, "application/pdf")
    return found


def _lines(report: InstitutionalReport, *, printed: bool) -> Iterator[str]:
    yield f"System health of {report.environment} as of {display.moment(report.timestamp)}: {report.system_status}."
    yield ""
    for text in report.missing:
        yield f"! {text}"
    for figure in report.headline:
        yield f"{figure.label}: {figure.value} ({figure.note})"
    yield from _section("Compared with the week before:", _compared(report))
    yield from _section("What pulls the score down:", (f"{cost.name}: {cost.status}" for cost in report.costs))
    yield from _section("Incidents of the last seven days:", _incidents(report))
    yield ""
    yield f"The whole report is attached{', also as PDF' if printed else ''}."


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield ""
        yield title
        yield from (f"- {line}" for line in found)


def _compared(report: InstitutionalReport) -> Iterator[str]:
    for row in report.compared:
        why = f" (n/a: {row.reason})" if row.reason else ""
        yield f"{row.name}: {row.this_text}, before {row.before_text}, difference {row.difference_text}{why}"


def _incidents(report: InstitutionalReport) -> Iterator[str]:
    for row in report.incidents or ():
        if row.began_at >= report.timestamp - WEEK:
            yield f"{row.component}, {row.severity}: began {row.began_text}, lasted {row.duration_text}," + (
                f" acknowledged by {row.acknowledged_text}"
            )
