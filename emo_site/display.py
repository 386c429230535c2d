"""Values as people read them, the same on reports and in the admin. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal


def count(value: int) -> str:
    return f"{value:,}"


def money(value: Decimal | None) -> str:
    return "n/a" if value is None else f"{value:,.2f}"


def number(value: Decimal | None) -> str:
    """A quantity or price without trailing zeros."""
    return "n/a" if value is None else f"{value.normalize():,f}"


def score(value: float | Decimal | None) -> str:
    return "n/a" if value is None else f"{value:.1f}"


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def age(elapsed: timedelta) -> str:
    """The one unit that matters: "45 s", "12 min", "5 h", "3 d"."""
    seconds = max(0, int(elapsed.total_seconds()))
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"
