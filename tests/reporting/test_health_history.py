"""What was recorded, read back: uptimes, the course of hours, two weeks compared, and the state at a moment."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import pytest

from monitoring import health, health_hours
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import HealthHour, Incident, SystemHealth
from monitoring.uptime import HOUR, SYSTEM
from reporting import health_history
from reporting.health_history import DAY, WEEK, percent, unknown_text
from tests.factories import NOW

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
AT = NOW + 20 * MINUTE


def say(
    at: datetime,
    status: HealthStatus = HealthStatus.HEALTHY,
    *,
    name: str = "disk",
    critical: bool = False,
    **metrics: int,
) -> None:
    finding = Finding(status=status, message=f"{name} is {status}", remedy="mend it", metrics=metrics)
    health.record([ProbeResult(name=name, critical=critical, finding=finding, at=at, response_ms=2.5)])


def every_ten_minutes(start: datetime, end: datetime, status: HealthStatus = HealthStatus.HEALTHY) -> None:
    at = start
    while at < end:
        say(at, status)
        at += 10 * MINUTE


def test_uptime_is_of_the_known_time_and_says_how_much_is_unknown() -> None:
    every_ten_minutes(NOW - 2 * HOUR, NOW)
    say(NOW - HOUR + 5 * MINUTE, HealthStatus.ERROR)
    day, week, month = health_history.read(now=NOW).uptimes["disk"]
    assert day.up_share == 115 / 120
    assert (day.up_text, day.note_text) == ("95.83 %", "n = 13, 92 % unknown")
    assert day.unknown_share == pytest.approx(22 / 24)
    assert week.unknown_share == pytest.approx(166 / 168)
    assert (day.records, month.records) == (13, 13)
    assert day.since == NOW - DAY


def test_a_gap_is_unknown_in_the_course_of_hours() -> None:
    every_ten_minutes(NOW - 3 * HOUR, NOW - 2 * HOUR)
    every_ten_minutes(NOW - HOUR, NOW)
    course = health_history.read(now=NOW).hours["disk"]
    assert [hour.status for hour in course[-4:]] == ["none", "healthy", "none", "healthy"]
    assert [hour.score for hour in course[-3:]] == [100.0, None, 100.0]


def test_summed_up_hours_and_records_make_the_same_figures() -> None:
    for place, status in enumerate([HealthStatus.HEALTHY, HealthStatus.ERROR, HealthStatus.WARNING] * 40):
        say(NOW - 20 * HOUR + place * 9.3 * MINUTE, status, critical=place % 5 == 0)
    before = health_history.read(now=AT)
    assert health_hours.roll_up(now=AT) > 10
    assert HealthHour.objects.exists()
    assert health_history.read(now=AT) == before


def test_the_hour_that_runs_is_counted_so_far() -> None:
    say(NOW + 5 * MINUTE)
    day = health_history.read(now=AT).uptimes["disk"][0]
    assert day.unknown_share == pytest.approx(1 - 10 / (24 * 60 + 20))
    assert health_history.read(now=AT).hours["disk"][-1].known_share == pytest.approx(0.5)


def test_what_is_not_summed_up_and_too_old_is_said() -> None:
    say(NOW - 30 * HOUR)
    assert health_history.read(now=NOW).not_summed_up_since == NOW - 30 * HOUR
    health_hours.roll_up(now=NOW)
    assert health_history.read(now=NOW).not_summed_up_since is None


def test_hours_outlive_their_records() -> None:
    every_ten_minutes(NOW - 20 * DAY, NOW - 20 * DAY + HOUR, HealthStatus.ERROR)
    health_hours.roll_up(now=NOW)
    SystemHealth.objects.all().delete()
    month = health_history.read(now=NOW).uptimes["disk"][2]
    assert (month.up_share, month.records) == (0.0, 6)


def test_a_past_moment_sees_nothing_of_what_came_later() -> None:
    every_ten_minutes(NOW - 3 * HOUR, NOW)
    every_ten_minutes(NOW, NOW + 3 * HOUR, HealthStatus.ERROR)
    before = health_history.read(now=AT)
    health_hours.roll_up(now=NOW + DAY)
    assert health_history.read(now=AT) == before
    assert before.uptimes["disk"][0].records == 18 + 2


def test_two_weeks_are_compared_with_both_numbers() -> None:
    every_ten_minutes(NOW - 8 * DAY, NOW - 8 * DAY + HOUR, HealthStatus.WARNING)
    every_ten_minutes(NOW - DAY, NOW - DAY + HOUR)
    for began in (NOW - 9 * DAY, NOW - 8 * DAY, NOW - DAY):
        Incident.objects.create(
            component_name="disk", severity="error", message="m", began_at=began, last_seen_at=began, ended_at=began
        )
    health_hours.roll_up(now=NOW)
    score, up, incidents = health_history.read(now=NOW).compared
    assert (score.this_text, score.before_text, score.difference_text) == (
        "100.0 points",
        "60.0 points",
        "+40.0 points",
    )
    assert (up.this_text, up.before_text, up.difference_text) == ("100.00 %", "100.00 %", "+0.00 %")
    assert (incidents.this_text, incidents.before_text, incidents.difference_text) == ("1", "2", "-1")


def test_a_week_of_which_nothing_is_known_is_not_a_bad_one() -> None:
    say(NOW - HOUR)
    score, _, incidents = health_history.read(now=NOW).compared
    assert (score.week_before, score.difference, score.before_text) == (None, None, "n/a")
    assert score.reason == "nothing was recorded in the week before"
    assert incidents.difference == 0


def test_the_state_at_a_moment_is_each_components_last_word() -> None:
    say(NOW - 9 * MINUTE, name="disk", free_bytes=5)
    say(NOW - 2 * MINUTE, HealthStatus.ERROR, name="database:default", critical=True)
    say(NOW - 11 * MINUTE, name="long silent")
    say(NOW + MINUTE, HealthStatus.ERROR, name="disk")
    disk, database = health_history.results_at(NOW)
    assert (disk.name, disk.finding.status, disk.finding.metrics, disk.response_ms) == (
        "disk",
        HealthStatus.HEALTHY,
        {"free_bytes": 5},
        2.5,
    )
    assert (database.critical, database.finding.message) == (True, "database:default is error")
    assert database.finding.remedy == "mend it"


def test_a_round_is_fresh_only_if_every_probe_is_in_it() -> None:
    say(NOW - MINUTE, name="disk")
    say(NOW - 3 * MINUTE, name="files")
    fresh = health_history.fresh_results(["disk"], now=NOW, within=2 * MINUTE)
    assert fresh is not None
    assert [result.name for result in fresh] == ["disk"]
    assert health_history.fresh_results(["disk", "files"], now=NOW, within=2 * MINUTE) is None


def test_the_disk_is_read_once_a_day() -> None:
    for day in range(40):
        say(NOW - day * DAY, free_bytes=1000 - day)
        say(NOW - day * DAY - HOUR, free_bytes=7)
    say(NOW - HOUR, free_bytes=1, name="another")
    found = health_history.disk_readings(now=NOW)
    assert [reading.free_bytes for reading in found] == [7] * 31
    assert found[0].at == NOW - 30 * DAY - HOUR


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.999999, "99.99 %"), (0.9995, "99.95 %"), (0.0, "0 %"), (None, "n/a")]
)
def test_a_share_is_never_rounded_up(share: float | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "nothing unknown"), (0.004, "under 1 % unknown"), (0.25, "25 % unknown"), (1.0, "100 % unknown")],
)
def test_the_unknown_share_is_told(share: float, text: str) -> None:
    assert unknown_text(share) == text


def test_history_takes_the_same_queries_however_much_there_is(
    django_assert_max_num_queries: Callable[[int], AbstractContextManager[None]],
) -> None:
    every_ten_minutes(NOW - 2 * DAY, NOW)
    health_hours.roll_up(now=NOW)
    with django_assert_max_num_queries(11):
        health_history.read(now=AT)


def test_the_desk_is_in_the_course_of_a_week() -> None:
    say(NOW - 3 * DAY, HealthStatus.ERROR, critical=True)
    health_hours.roll_up(now=NOW)
    history = health_history.read(now=NOW)
    assert len(history.system) == 168
    assert [hour.status for hour in history.system if hour.status != "none"] == ["error"]
    assert history.uptimes[SYSTEM][1].up_share == 0.0
    assert history.uptimes[SYSTEM][1].since == NOW - WEEK
