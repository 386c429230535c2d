"""What a component's report must keep to, and what it is worth some time later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitoring.choices import HealthStatus
from monitoring.component_state import ComponentReport, InvalidReport, standing

AT = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)


def report(**changes: Any) -> ComponentReport:
    values = {"name": "broker gateway", "status": HealthStatus.HEALTHY, "next_within_seconds": 60}
    return ComponentReport(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "seconds", "expected"),
    [
        ({}, 0, ("healthy", "healthy")),
        ({"latency_ms": 40.4, "message": "up"}, 60, ("healthy", "healthy, 40 ms: up")),
        ({"status": HealthStatus.ERROR, "message": "no session"}, 59, ("error", "error: no session")),
        ({}, 61, ("unknown", "not heard of for 61 s, due every 60 s; it was healthy then")),
        # What was wrong then may be right by now, or worse.
        (
            {"status": HealthStatus.ERROR, "next_within_seconds": 3600},
            7201,
            ("unknown", "not heard of for 2 h, due every 60 min; it was error then"),
        ),
        # Another host's clock may be behind.
        ({}, -5, ("healthy", "healthy")),
    ],
)
def test_report_is_worth_its_word_until_the_next_one_is_due(
    changes: dict[str, Any], seconds: int, expected: tuple[str, str]
) -> None:
    found = standing(report(**changes), reported_at=AT, now=AT + timedelta(seconds=seconds))
    assert (str(found.status), found.message) == expected


REFUSED = {
    "no name": ({"name": ""}, "name"),
    "a path": ({"name": "a/b"}, "name"),
    "two lines": ({"name": "a\nb"}, "name"),
    "a name with an end": ({"name": "a\n"}, "name"),
    "a long name": ({"name": "a" * 65}, "name"),
    "other words": ({"status": "up"}, "status"),
    "no interval": ({"next_within_seconds": 0}, "next_within_seconds"),
    "a long interval": ({"next_within_seconds": 86_401}, "next_within_seconds"),
    "a long message": ({"message": "x" * 301}, "message"),
    "a message of two lines": ({"message": "a\nb"}, "message"),
    "less than no time": ({"latency_ms": -0.1}, "latency_ms"),
    "endless time": ({"latency_ms": float("inf")}, "latency_ms"),
    "no number": ({"latency_ms": float("nan")}, "latency_ms"),
    "NUL": ({"metrics": {"a": "\0"}}, "metrics"),
    "infinity": ({"metrics": {"a": float("inf")}}, "metrics"),
    "much": ({"metrics": {"a": "x" * 4000}}, "metrics"),
}


@pytest.mark.parametrize(("changes", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_report_is_refused_by_field_value_and_rule(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidReport) as refused:
        report(**changes)
    assert refused.value.field == field
    assert refused.value.rule
    assert str(refused.value).startswith(f"{field}=")
    assert len(str(refused.value)) < 300


def test_largest_report_is_taken() -> None:
    report(name="a" * 64, message="x" * 300, next_within_seconds=86_400, metrics={"a": "x" * 3980}, latency_ms=0)
