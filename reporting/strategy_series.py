"""The stored days of a strategy -> what it earned on each of them, and its daily returns. Pure.

Days are New York's. Money is Decimal, a return is a fraction: 0.01 = +1 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from reporting.strategy_days import is_weekday
from reporting.trades import ZERO

_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredDay:
    """What a row of one day says. `unrealised` is the level as it ended; money is None where it is not known, and
    `no_money` says why. `growth` is the day's return, `no_growth` why there is none.
    """

    day: date
    realised: Decimal | None
    unrealised: Decimal | None
    fees: Decimal
    growth: float | None
    trades: int
    won: int
    lost: int
    no_money: str = ""
    no_growth: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayResult:
    """The same with what it earned: `gross` before fees, `net` after them; `before` is the level as it began."""

    stored: StoredDay
    before: Decimal | None
    gross: Decimal | None
    net: Decimal | None

    @property
    def day(self) -> date:
        return self.stored.day


@dataclass(frozen=True, kw_only=True)
class Returns:
    """One for each weekday from the first day with a return on, 0 where nothing was held; none where `reason` says why.

    `passed` are the weekdays that were left out because the account's equity was not on record yet.
    """

    days: tuple[date, ...] = ()
    values: tuple[float, ...] = ()
    reason: str = ""
    passed: int = 0


@dataclass(frozen=True, kw_only=True)
class Total:
    """Money of a period: None where `reason` says why. `fees` are always known."""

    gross: Decimal | None
    fees: Decimal
    net: Decimal | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """A strategy from its first day to its last, those between `first` and `last` only where these are given."""

    strategy: str
    days: tuple[DayResult, ...]
    returns: Returns

    @property
    def trades(self) -> int:
        return sum(each.stored.trades for each in self.days)

    @property
    def won(self) -> int:
        return sum(each.stored.won for each in self.days)

    @property
    def lost(self) -> int:
        return sum(each.stored.lost for each in self.days)

    @property
    def total(self) -> Total:
        """A day in between may have no price: the two ends say what was earned."""
        fees = sum((each.stored.fees for each in self.days), ZERO)
        if not self.days:
            return Total(gross=None, fees=fees, net=None, reason=self.returns.reason)
        before, last = self.days[0].before, self.days[-1].stored
        unknown = next((each.stored for each in self.days if each.stored.realised is None), None)
        if before is None or last.unrealised is None or unknown is not None:
            reason = (
                (unknown or last).no_money or last.no_money or f"what was held before {self.days[0].day} has no price"
            )
            return Total(gross=None, fees=fees, net=None, reason=reason)
        gross = sum((each.stored.realised or ZERO for each in self.days), ZERO) + last.unrealised - before
        return Total(gross=gross, fees=fees, net=gross - fees, reason="")


def series(
    strategy: str, stored: Sequence[StoredDay], *, first: date | None = None, last: date | None = None
) -> Series:
    """`stored` are all days of the strategy, oldest first."""
    results = _results(stored)
    chosen = tuple(each for each in results if _is_within(each.day, first, last))
    return Series(strategy=strategy, days=chosen, returns=_returns(stored, first, last))


def _is_within(day: date, first: date | None, last: date | None) -> bool:
    return (first is None or day >= first) and (last is None or day <= last)


def _results(stored: Sequence[StoredDay]) -> list[DayResult]:
    found: list[DayResult] = []
    before: Decimal | None = ZERO
    for each in stored:
        gross = None
        if each.realised is not None and each.unrealised is not None and before is not None:
            gross = each.realised + each.unrealised - before
        net = None if gross is None else gross - each.fees
        found.append(DayResult(stored=each, before=before, gross=gross, net=net))
        before = each.unrealised
    return found


def _returns(stored: Sequence[StoredDay], first: date | None, last: date | None) -> Returns:
    """As rows of longer periods count them; see docs/trades.md. A day without a return breaks the series."""
    chosen = [each for each in _filled(stored) if _is_within(each.day, first, last)]
    if not chosen:
        return Returns(reason="no day on record" if not stored else _nothing_between(first, last))
    place = next((place for place, each in enumerate(chosen) if each.growth is not None), None)
    if place is None:
        return Returns(reason=chosen[0].no_growth, passed=len(chosen))
    counted = chosen[place:]
    broken = next((each.no_growth for each in counted if each.growth is None), "")
    if broken:
        return Returns(reason=broken, passed=place)
    return Returns(
        days=tuple(each.day for each in counted),
        values=tuple(each.growth or 0.0 for each in counted),
        passed=place,
    )


def _nothing_between(first: date | None, last: date | None) -> str:
    if first is None:
        return f"no day on record until {last}"
    return f"no day on record from {first}" + ("" if last is None else f" to {last}")


def _filled(stored: Sequence[StoredDay]) -> list[StoredDay]:
    """With the weekdays between the first and the last day on which nothing was held."""
    found: list[StoredDay] = []
    for each in stored:
        if found:
            between = found[-1].day + _ONE_DAY
            # Before the account's equity is on record an idle day has no return either.
            reason = found[-1].no_growth
            idle = None if found[-1].growth is None else 0.0
            while between < each.day:
                if is_weekday(between):
                    found.append(_idle(between, idle, reason))
                between += _ONE_DAY
        found.append(each)
    return found


def _idle(day: date, growth: float | None, reason: str) -> StoredDay:
    return StoredDay(
        day=day,
        realised=ZERO,
        unrealised=ZERO,
        fees=ZERO,
        growth=growth,
        no_growth=reason,
        trades=0,
        won=0,
        lost=0,
    )
