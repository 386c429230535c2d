"""What a strategy returned and earned in each month, as a table of years with tinted cells. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from reporting.performance import Estimate, total_return
from reporting.strategy_figures import percent, shown
from reporting.strategy_series import DayResult, Returns
from reporting.trades import ZERO

_TINTS = 4


@dataclass(frozen=True, kw_only=True)
class MonthCell:
    """`growth` is None where `reason` says why, `net` where a day's is not known. `tone` tints, the number tells."""

    growth: float | None
    net: Decimal | None
    days: int
    reason: str
    tone: str
    growth_text: str
    net_text: str


@dataclass(frozen=True, kw_only=True)
class YearRow:
    """`months` are January to December, None where there is no day; `total` is of all of them."""

    year: int
    months: tuple[MonthCell | None, ...]
    total: MonthCell


def years(days: Sequence[DayResult], returns: Returns) -> tuple[YearRow, ...]:
    """Oldest first; of days with a result or a return."""
    growth: dict[tuple[int, int], list[float]] = {}
    for day, value in zip(returns.days, returns.values, strict=True):
        growth.setdefault((day.year, day.month), []).append(value)
    money: dict[tuple[int, int], list[Decimal | None]] = {}
    for each in days:
        money.setdefault((each.day.year, each.day.month), []).append(each.net)
    known = {key: total_return.estimate(len(values), values) for key, values in growth.items()}
    largest = max((abs(each.value) for each in known.values() if each.value is not None), default=0.0)
    found = []
    for year in sorted({year for year, _ in (*growth, *money)}):
        months = tuple(
            _cell(known.get((year, month)), money.get((year, month), []), largest, returns.reason)
            if (year, month) in known or (year, month) in money
            else None
            for month in range(1, 13)
        )
        found.append(YearRow(year=year, months=months, total=_of_year(year, growth, money, returns.reason)))
    return tuple(found)


def _of_year(
    year: int,
    growth: Mapping[tuple[int, int], Sequence[float]],
    money: Mapping[tuple[int, int], Sequence[Decimal | None]],
    reason: str,
) -> MonthCell:
    values = [value for (of, _), each in sorted(growth.items()) if of == year for value in each]
    earned = [value for (of, _), each in money.items() if of == year for value in each]
    estimate = total_return.estimate(len(values), values) if values else None
    return _cell(estimate, earned, 0.0, reason)


def _cell(estimate: Estimate | None, money: Sequence[Decimal | None], largest: float, reason: str) -> MonthCell:
    value = None if estimate is None else estimate.value
    net = None if any(each is None for each in money) else sum((each or ZERO for each in money), ZERO)
    no_return = reason or "no day of it has a return"
    return MonthCell(
        growth=value,
        net=net,
        days=0 if estimate is None else estimate.n,
        reason="" if value is not None else no_return if estimate is None else estimate.reason,
        tone=_tone(value, largest),
        growth_text="n/a" if value is None else percent(value, signed=True),
        net_text="n/a" if net is None else f"{net:+,.2f}" if net else shown(net, "money"),
    )


def _tone(value: float | None, largest: float) -> str:
    if value is None or not largest or not value:
        return "none"
    step = max(1, min(_TINTS, round(_TINTS * abs(value) / largest)))
    return f"{'up' if value > 0 else 'down'}-{step}"
