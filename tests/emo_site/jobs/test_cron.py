"""When a cron expression is due next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from emo_site.jobs.cron import BadCron, next_after

# A Monday.
AT = datetime(2025, 11, 3, 15, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "2025-11-03 15:01:00"),
        ("*/5 * * * *", "2025-11-03 15:05:00"),
        ("0 15 * * *", "2025-11-04 15:00:00"),
        ("30 2 * * 6", "2025-11-08 02:30:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("*/20 * * * * *", "2025-11-03 15:00:40"),
    ],
)
def test_next_time_is_the_first_one_after_the_moment(expression: str, expected: str) -> None:
    assert f"{next_after(expression, AT):%Y-%m-%d %H:%M:%S}" == expected


def test_expression_is_about_utc_whatever_the_zone_of_the_moment() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=-5)))
    assert next_after("0 16 * * *", elsewhere) == datetime(2025, 11, 3, 16, tzinfo=UTC)


@pytest.mark.parametrize("expression", ["", "daily", "61 * * * *", "* * * *", "0 0 30 2 *", "*/0 * * * *", "@daily"])
def test_what_names_no_time_is_refused_by_its_words(expression: str) -> None:
    with pytest.raises(BadCron) as error:
        next_after(expression, AT)
    assert str(error.value).startswith(f"cron={expression!r}: ")
