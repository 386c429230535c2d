"""Cron expressions: minute, hour, day, month, weekday, all in UTC; with six fields the first is the second. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError


class BadCron(ValueError):
    """The expression means no time; the message quotes it."""


def next_after(expression: str, moment: datetime) -> datetime:
    """The first time after `moment` (aware) that the expression names. Raises BadCron."""
    try:
        return next(CronSim(expression, moment.astimezone(UTC)))
    except CronSimError as error:
        raise BadCron(
            f"cron={expression!r}: {error}; minute, hour, day, month and weekday are needed, as in 30 2 * * 1-5"
        ) from error
    except StopIteration as error:
        raise BadCron(f"cron={expression!r}: there is no such day") from error
