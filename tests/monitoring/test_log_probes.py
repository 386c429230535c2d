"""Errors of the log and failing pages are told with how many, which, and what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError

from emo_site.tallies import Tallies
from monitoring import log_probes, tallies
from monitoring.choices import HealthStatus
from monitoring.log_probes import LogErrorsProbe, WebErrorsProbe
from monitoring.tallies import LastError, LastErrors, WebRequests

AT = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


def last(kind: str, count: int, level: str = "error", minutes: int = 0) -> LastError:
    at = AT - timedelta(minutes=minutes)
    return LastError(
        kind=kind, level=level, count=count, message=f"last {kind}", at=at, host="web1", process="gunicorn"
    )


@pytest.mark.parametrize(
    ("kinds", "status", "message"),
    [
        ((), HealthStatus.HEALTHY, "0 errors, 0 warnings in 5 min"),
        (
            (last("audit", 10), last("web request", 99, "warning")),
            HealthStatus.HEALTHY,
            "10 errors, 99 warnings in 5 min",
        ),
        (
            (last("audit", 3), last("web request", 8, minutes=1), last("performance", 5, "warning")),
            HealthStatus.WARNING,
            "11 errors in 5 min (limit 10): 8 web request, 3 audit. The last, from gunicorn on web1: last audit",
        ),
    ],
)
def test_errors_of_the_log(kinds: tuple[LastError, ...], status: HealthStatus, message: str) -> None:
    finding = LogErrorsProbe().judged(LastErrors(since=AT, kinds=kinds))
    assert (finding.status, finding.message) == (status, message)
    assert bool(finding.remedy) == (status != HealthStatus.HEALTHY)


@pytest.mark.parametrize(
    ("requests", "failures", "status", "message"),
    [
        (0, 0, HealthStatus.HEALTHY, "no requests in 5 min"),
        (500, 5, HealthStatus.HEALTHY, "5 of 500 requests failed in 5 min (1.0 %)"),
        # One of two is no rate.
        (2, 1, HealthStatus.HEALTHY, "1 of 2 requests failed in 5 min (50.0 %)"),
        (500, 6, HealthStatus.WARNING, "6 of 500 requests failed in 5 min (1.2 %), the limit is 1 %."),
        (50, 5, HealthStatus.WARNING, "5 of 50 requests failed in 5 min (10.0 %), the limit is 1 %."),
        (50, 6, HealthStatus.ERROR, "6 of 50 requests failed in 5 min (12.0 %), the limit is 1 %."),
    ],
)
def test_failing_pages(requests: int, failures: int, status: HealthStatus, message: str) -> None:
    finding = WebErrorsProbe().judged(WebRequests(since=AT, requests=requests, failures=failures, slow=0))
    assert (finding.status, finding.message) == (status, message)


@pytest.mark.django_db
def test_they_read_what_the_workers_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    own, now = Tallies(), datetime.now(UTC)
    monkeypatch.setattr("emo_site.tallies.of_process", own)
    for _ in range(12):
        own.note_error(kind="audit", level="error", message="x", at=now)
        own.note_request(failed=True, slow=False, at=now)
    tallies.write(now)
    assert LogErrorsProbe().run().metrics == {"errors": 12, "warnings": 0}
    assert WebErrorsProbe().run().status == HealthStatus.ERROR


@pytest.mark.parametrize("probe", [LogErrorsProbe(), WebErrorsProbe()])
def test_without_a_database_they_do_not_know(
    probe: LogErrorsProbe | WebErrorsProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(alias: str) -> None:
        raise DatabaseError("connection refused\nmore")

    monkeypatch.setattr(log_probes, "require_answer", away)
    finding = probe.run()
    assert (finding.status, finding.message) == (HealthStatus.UNKNOWN, "Can't be counted: connection refused")
