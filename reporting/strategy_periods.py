"""The days of a strategy -> its figures for a day, a week, a month or all of it. Pure.

Each figure says its unit, estimator and number of observations, and why it is undefined where it is. Money is a text,
so that no digit is lost; statistics are floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

from reporting.choices import Period
from reporting.performance import VERSION, Estimate, describe
from reporting.strategy_days import Day, Mark, end_of, is_weekday, start_of
from reporting.trades import ZERO, Held, Method, unrealised

# Raised with every change of what a row says, so that stored rows of another kind are rolled up again.
ROW_VERSION = 1
# What is made of several days says nothing of one.
OF_ONE_DAY = ("total_return", "sharpe_ratio", "max_drawdown")
OF_TRADES = (
    "win_rate",
    "profit_factor",
    "expectancy",
    "average_win",
    "average_loss",
    "longest_win_streak",
    "longest_loss_streak",
)


_NOT_PRICED = "what was held before {} has no price"


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A day with what its end was worth. `results` are the round trips that ended on it, after fees; `equity` is the
    account's as the day began.
    """

    day: Day
    results: tuple[Decimal, ...]
    marks: Mapping[str, Mark]
    equity: Mark | None


@dataclass(frozen=True, kw_only=True)
class Earned:
    """A day with its money. `before` and `unrealised` are the levels as it began and as it ended, `net` what it earned
    after fees: None where `reason` says why. `growth` is net / equity.
    """

    priced: Priced
    before: Decimal | None
    unrealised: Decimal | None
    net: Decimal | None
    growth: float | None
    reason: str
    no_growth: str

    @property
    def date(self) -> date:
        return self.priced.day.day


def earned(days: Sequence[Priced]) -> list[Earned]:
    """Of all days of a strategy, oldest first."""
    found: list[Earned] = []
    before: Decimal | None = ZERO
    for each in days:
        after, reason = _unrealised(each)
        net = None if after is None or before is None else each.day.realised - each.day.fees + after - before
        reason = reason or (_NOT_PRICED.format(each.day.day) if net is None else "")
        growth, no_growth = _growth(each, net, reason)
        found.append(
            Earned(
                priced=each,
                before=before,
                unrealised=after,
                net=net,
                growth=growth,
                reason=reason,
                no_growth=no_growth,
            )
        )
        before = after
    return found


def bounds(period: Period, day: date, *, first: date, last: date) -> tuple[datetime, datetime]:
    """Beginning and end of the period that the day is in; `first` and `last` day of the strategy are those of all."""
    if period is Period.WEEK:
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=6)
    elif period is Period.MONTH:
        first = day.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    elif period is Period.DAY:
        first = last = day
    return start_of(first), end_of(last)


def columns(period: Period, days: Sequence[Earned], *, method: Method, as_of: datetime, final: bool) -> dict[str, Any]:
    """The row of one period by column; `days` are its days, oldest first and at least one."""
    results = [result for each in days for result in each.priced.results]
    money = _money(days, method)
    described = _described(period, days, results)
    notes = sorted({note for each in days for note in each.priced.day.notes})
    return {
        "total_return": described["total_return"].value,
        "sharpe_ratio": described["sharpe_ratio"].value,
        "max_drawdown": described["max_drawdown"].value,
        "total_trades": len(results),
        "winning_trades": sum(result > 0 for result in results),
        "losing_trades": sum(result < 0 for result in results),
        **{name: money[name].value for name in ("realized_pnl", "unrealized_pnl", "fees")},
        "risk_metrics": {
            "version": ROW_VERSION,
            "figures_version": VERSION,
            "method": str(method),
            "as_of": as_of.isoformat(),
            "final": final,
            "figures": {
                **{name: _as_json(each) for name, each in money.items()},
                **{name: _as_json(each) for name, each in _counts(results).items()},
                **{name: _as_json(each) for name, each in described.items()},
            },
            "held": _held_as_json(days[-1]),
            "notes": notes,
        },
    }


@dataclass(frozen=True, kw_only=True)
class Amount:
    """A figure like an Estimate, in exact money."""

    value: Decimal | None
    unit: str
    n: int
    estimator: str
    reason: str = ""


def _held_as_json(day: Earned) -> list[dict[str, Any]]:
    """What is open as the period ends, by instrument, with the price that it was marked at."""
    parts: dict[str, list[Held]] = {}
    for part in day.priced.day.held:
        parts.setdefault(part.instrument, []).append(part)
    return [
        {
            "instrument": name,
            "quantity": _text(sum((part.quantity for part in found), ZERO)),
            "multiplier": found[0].multiplier,
            "cost": _text(sum((part.cost for part in found), ZERO)),
            "opened_at": min(part.opened_at for part in found).isoformat(),
            **_mark_as_json(day.priced.marks.get(name)),
        }
        for name, found in parts.items()
    ]


def _mark_as_json(mark: Mark | None) -> dict[str, str | None]:
    if mark is None:
        return {"price": None, "priced_at": None, "priced_by": None}
    return {"price": _text(mark.price), "priced_at": mark.at.isoformat(), "priced_by": mark.source}


def _unrealised(each: Priced) -> tuple[Decimal | None, str]:
    if each.day.gaps:
        return None, each.day.gaps[0]
    missing = sorted({part.instrument for part in each.day.held} - each.marks.keys())
    if missing:
        return None, f"no price of {', '.join(missing)} is on record by {each.day.day}"
    return unrealised(each.day.held, {name: mark.price for name, mark in each.marks.items()}), ""


def _growth(each: Priced, net: Decimal | None, reason: str) -> tuple[float | None, str]:
    if net is None:
        return None, reason
    if each.equity is None:
        return None, f"no equity of the account is on record before {each.day.day}"
    if each.equity.price <= 0:
        return None, f"the account's equity was {each.equity.price:f} as {each.day.day} began"
    return float(net / each.equity.price), ""


def _money(days: Sequence[Earned], method: Method) -> dict[str, Amount]:
    made = [each.priced.day for each in days]
    fills = sum(day.fills for day in made)
    first, last = days[0], days[-1]
    gap = next((day.gaps[0] for day in made if day.gaps), "")
    fees = sum((day.fees for day in made), ZERO)
    realised = sum((day.realised for day in made), ZERO)
    # Its two ends do: a day in between may have no price.
    known = last.unrealised is not None and first.before is not None
    net = realised - fees + (last.unrealised or ZERO) - (first.before or ZERO)
    return {
        "realized_pnl": Amount(
            value=None if gap else realised,
            unit="money",
            n=fills,
            estimator=f"proceeds less cost of what was closed, {method}, before fees",
            reason=gap,
        ),
        "unrealized_pnl": Amount(
            value=last.unrealised,
            unit="money",
            n=len(last.priced.day.held),
            estimator="value at the last price less cost of what is held as the period ends, before fees",
            reason="" if last.unrealised is not None else last.reason,
        ),
        "fees": Amount(value=fees, unit="money", n=fills, estimator="sum of what fills cost; a rebate is negative"),
        "net_pnl": Amount(
            value=net if known else None,
            unit="money",
            n=fills,
            estimator="realised and the change of unrealised P&L, after fees",
            reason="" if known else last.reason or _NOT_PRICED.format(first.date),
        ),
        "cash_flow": Amount(
            value=-sum((day.cost for day in made), ZERO) - fees,
            unit="money",
            n=fills,
            estimator="received less paid, fees included",
        ),
    }


def _counts(results: Sequence[Decimal]) -> dict[str, Amount]:
    n = len(results)
    ended = "round trips that ended in the period"
    found = {
        "total_trades": (n, ended),
        "winning_trades": (sum(result > 0 for result in results), f"{ended} above 0 after fees"),
        "losing_trades": (sum(result < 0 for result in results), f"{ended} below 0 after fees"),
    }
    return {
        name: Amount(value=Decimal(value), unit="trades", n=n, estimator=text) for name, (value, text) in found.items()
    }


def _described(period: Period, days: Sequence[Earned], results: Sequence[Decimal]) -> dict[str, Estimate]:
    returns, reason = _returns(days)
    growth = list(accumulate(returns, lambda wealth, each: wealth * (1 + each), initial=1.0))
    found = describe(returns, pnl=[float(result) for result in results], equity=growth if returns else None)
    if reason:
        found |= {
            name: Estimate(value=None, unit=each.unit, n=0, estimator=each.estimator, reason=reason)
            for name, each in found.items()
            if name not in OF_TRADES
        }
    if period is Period.DAY:
        return {name: found[name] for name in (*OF_ONE_DAY, *OF_TRADES)}
    return found


def _returns(days: Sequence[Earned]) -> tuple[list[float], str]:
    """One for each weekday from the first day with a return on, 0 where nothing was held; or why there is none.

    Days before the account's equity is on record are left out; a day without a return after that breaks the series.
    """
    place = next((place for place, each in enumerate(days) if each.growth is not None), None)
    if place is None:
        return [], days[0].no_growth
    counted = days[place:]
    broken = next((each.no_growth for each in counted if each.growth is None), "")
    if broken:
        return [], broken
    return list(_filled(counted)), ""


def _filled(days: Sequence[Earned]) -> Iterator[float]:
    before: date | None = None
    for each in days:
        while before is not None and (before := before + timedelta(days=1)) < each.date:
            if is_weekday(before):
                yield 0.0
        yield each.growth or 0.0
        before = each.date


def _as_json(figure: Amount | Estimate) -> dict[str, Any]:
    value = figure.value
    return {
        "value": _text(value) if isinstance(value, Decimal) and figure.unit == "money" else _plain(value),
        "unit": figure.unit,
        "n": figure.n,
        "estimator": figure.estimator,
        "reason": figure.reason,
    }


def _plain(value: Decimal | float | None) -> float | int | None:
    return int(value) if isinstance(value, Decimal) else value


def _text(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
