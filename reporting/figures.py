"""Figures as people read them: value, unit, estimator, number of observations, or "n/a" with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number on a page. `note` says estimator, unit and n, or why there is none."""

    label: str
    value: str
    note: str = ""


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
