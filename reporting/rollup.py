"""Executions -> StrategyPerformance, per strategy and period. The only writer of StrategyPerformance and RollUp.

A strategy whose fills are as before, which holds nothing and none of whose periods has ended since, is left alone. Of
any other all fills are read, and those rows are written whose contents are not what they should be. Days that are over
keep the prices they were rolled up with, so that they don't change when market data are late or have been let go; they
are priced anew where what happened on them, or what was held as they began, has changed, and where a range names them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import transaction

from emo_site.db.fields import current_environment
from orders.instruments import Terms
from orders.standing import trading_day
from reporting import deals, marks
from reporting.choices import Period
from reporting.deals import OnRecord
from reporting.models import RollUp, StrategyPerformance
from reporting.performance import VERSION
from reporting.strategy_days import MARKET, OWN_FILL, Day, Mark, days, name_of, stock
from reporting.strategy_periods import ROW_VERSION, Earned, Priced, bounds, columns, earned
from reporting.trades import MONEY_STEP, Method, RoundTrip

METHOD = Method.FIFO
# Market data and fills come in a little late; then a period is final.
SETTLED = timedelta(hours=1)
_BATCH = 200
_MONEY = ("realized_pnl", "unrealized_pnl", "fees")
_WRITTEN = (
    "period_end",
    "total_return",
    "sharpe_ratio",
    "max_drawdown",
    "total_trades",
    "winning_trades",
    "losing_trades",
    *_MONEY,
    "risk_metrics",
)


class InvalidRequest(ValueError):
    """The message names field, value and rule."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """`since` and `until` are New York's days, both included; None: from the first, up to the last. Periods that share
    a day with the range are rolled up, their days priced anew.
    """

    strategy: str | None = None
    since: date | None = None
    until: date | None = None
    periods: frozenset[Period] = frozenset(Period)
    """Beside days, which the others are made of."""

    @property
    def is_complete(self) -> bool:
        return self.periods | {Period.DAY} == frozenset(Period) and not self.has_range

    @property
    def has_range(self) -> bool:
        return self.since is not None or self.until is not None

    def rolls(self, period: Period) -> bool:
        return period is Period.DAY or period in self.periods

    def covers(self, first: date, last: date) -> bool:
        return (self.since is None or last >= self.since) and (self.until is None or first <= self.until)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of the rows of one strategy. `skipped`: nothing had changed, none was looked at."""

    strategy: str
    skipped: bool = False
    written: int = 0
    removed: int = 0
    unchanged: int = 0


def roll_up(request: Request, *, now: datetime) -> list[Done]:
    """Each strategy by itself, whole or not at all. Raises InvalidRequest before anything is written; DatabaseError."""
    known = deals.strategies()
    _check(request, known, now)
    wanted = known if request.strategy is None else [request.strategy]
    return [_roll_up(strategy, request, now) for strategy in wanted]


def _check(request: Request, known: Sequence[str], now: datetime) -> None:
    if request.strategy is not None and request.strategy not in known:
        environment = current_environment()
        raise InvalidRequest(f"strategy={request.strategy!r}: has neither fills nor statements in {environment}")
    today = trading_day(now)
    if request.since is not None and request.since > today:
        raise InvalidRequest(f"from={request.since}: must not be after today, {today} in New York")
    if request.since is not None and request.until is not None and request.until < request.since:
        raise InvalidRequest(f"to={request.until}: must not be before from={request.since}")


def _roll_up(strategy: str, request: Request, now: datetime) -> Done:
    # Counted before they are read: what comes in between is seen by the next roll-up.
    found, version = deals.on_record(strategy), f"{ROW_VERSION}.{VERSION} {METHOD}"
    states = RollUp.objects.filter(strategy_name=strategy, environment=current_environment())
    if request.is_complete and _is_current(states.first(), found, version, now):
        return Done(strategy=strategy, skipped=True)
    made = earned(_priced_days(strategy, _stored(strategy), request, now))
    rows = list(_rows(strategy, made, request, now))
    # Read without a lock, which SQLite would keep from everybody else for as long.
    with transaction.atomic():
        state = _locked(strategy)
        if state.executions > found.executions or state.statements > found.statements:
            # Somebody else has written meanwhile, who had seen more.
            return Done(strategy=strategy, skipped=True)
        stored = _stored(strategy)
        done = _write(strategy, stored, rows, _outdated(stored, made, request))
        if request.is_complete:
            state.executions, state.statements, state.version = found.executions, found.statements, version
            state.due_at = _due_at(made, now)
            state.save()
        return done


def _locked(strategy: str) -> RollUp:
    """Whoever writes rows of the same strategy waits here, and then sees what was written."""
    environment = current_environment()
    RollUp.objects.bulk_create([RollUp(strategy_name=strategy, environment=environment)], ignore_conflicts=True)
    return RollUp.objects.select_for_update().get(strategy_name=strategy, environment=environment)


def _is_current(state: RollUp | None, found: OnRecord, version: str, now: datetime) -> bool:
    if state is None:
        return False
    same = (state.executions, state.statements, state.version) == (found.executions, found.statements, version)
    return same and (state.due_at is None or now < state.due_at)


def _due_at(made: Sequence[Earned], now: datetime) -> datetime | None:
    if not made:
        return None
    if made[-1].priced.day.held:
        return now
    first, last = made[0].date, made[-1].date
    ends = (bounds(period, last, first=first, last=last)[1] + SETTLED for period in Period)
    return min((end for end in ends if end > now), default=None)


# ---- days ------------------------------------------------------------------------------------------------------------

_Stored = Mapping[tuple[str, datetime], StrategyPerformance]


def _stored(strategy: str, environment: str | None = None) -> _Stored:
    place = environment or current_environment()
    rows = StrategyPerformance.objects.filter(strategy_name=strategy, environment=place)
    return {(row.period, row.period_start): row for row in rows}


def closed_trips(strategy: str, *, now: datetime, environment: str | None = None) -> Iterator[RoundTrip]:
    """The round trips that the rows count, by the time of their end. Reads all fills of the strategy, of this
    environment or of the one that is named.
    """
    terms: dict[str, Terms] = {}
    for day in _days(strategy, _stored(strategy, environment), Request(), terms, now=now, environment=environment):
        yield from day.closed


def _priced_days(strategy: str, stored: _Stored, request: Request, now: datetime) -> list[Priced]:
    terms: dict[str, Terms] = {}
    return [
        _priced(day, stored.get((Period.DAY, day.start)), terms, request, now)
        for day in _days(strategy, stored, request, terms, now=now)
    ]


def _days(
    strategy: str,
    stored: _Stored,
    request: Request,
    terms: dict[str, Terms],
    *,
    now: datetime,
    environment: str | None = None,
) -> Iterator[Day]:
    """`terms` is given what is dealt in."""
    events = deals.events(strategy, terms, environment=environment)
    return days(events, terms=terms, spot=_spot(stored, request), now=now, method=METHOD)


def _spot(stored: _Stored, request: Request) -> Callable[[Terms, datetime], Decimal | None]:
    """What a settlement was taken at before is taken again: market data go, and positions must not change by that."""
    used: dict[str, str] = {}
    final: set[str] = set()
    for row in stored.values():
        kept = row.risk_metrics.get("used", {})
        used |= kept
        if row.risk_metrics.get("final"):
            final |= kept.keys()

    def spot(terms: Terms, at: datetime) -> Decimal | None:
        name, day = name_of(terms, at), trading_day(at)
        known = used.get(name)
        if known is not None and name in final and not (request.has_range and request.covers(day, day)):
            return Decimal(known)
        found = marks.market_spot(terms, at)
        return Decimal(known) if found is None and known is not None else found

    return spot


def _priced(
    day: Day, row: StrategyPerformance | None, terms: Mapping[str, Terms], request: Request, now: datetime
) -> Priced:
    results = tuple(trip.net for trip in day.closed)
    kept = {} if row is None else row.risk_metrics
    lean = replace(day, closed=())
    again = request.has_range and request.covers(day.day, day.day)
    if kept.get("final") and kept.get("inputs") == day.inputs and not again:
        return Priced(day=lean, results=results, marks=_kept_marks(kept), equity=_kept_equity(kept))
    until = min(now, day.end)
    held = {part.instrument: terms.get(part.instrument, stock(part.instrument)) for part in day.held}
    found = {name: Mark(price=price, at=at, source=OWN_FILL) for name, (price, at) in day.last_prices.items()}
    if held:
        found |= {name: mark for name, mark in _kept_marks(kept).items() if mark.source == MARKET}
        found |= marks.market_marks(held.values(), until)
    return Priced(
        day=lean,
        results=results,
        marks={name: mark for name, mark in found.items() if name in held},
        equity=marks.equity_at(day.start) or _kept_equity(kept),
    )


def _kept_marks(kept: Mapping[str, Any]) -> dict[str, Mark]:
    return {
        each["instrument"]: Mark(
            price=Decimal(each["price"]), at=datetime.fromisoformat(each["priced_at"]), source=each["priced_by"]
        )
        for each in kept.get("held", ())
        if each["price"] is not None
    }


def _kept_equity(kept: Mapping[str, Any]) -> Mark | None:
    equity = kept.get("equity")
    if not equity:
        return None
    return Mark(
        price=Decimal(equity["price"]), at=datetime.fromisoformat(equity["priced_at"]), source=equity["priced_by"]
    )


# ---- rows ------------------------------------------------------------------------------------------------------------


def _rows(strategy: str, made: Sequence[Earned], request: Request, now: datetime) -> Iterator[StrategyPerformance]:
    for period in filter(request.rolls, Period):
        for (start, end), members in _grouped(period, made):
            if request.covers(trading_day(start), trading_day(end - timedelta(microseconds=1))):
                yield _row(strategy, period, start, end, members=members, now=now)


def _grouped(period: Period, made: Sequence[Earned]) -> Iterator[tuple[tuple[datetime, datetime], list[Earned]]]:
    groups: dict[tuple[datetime, datetime], list[Earned]] = {}
    for each in made:
        place = bounds(period, each.date, first=made[0].date, last=made[-1].date)
        groups.setdefault(place, []).append(each)
    yield from groups.items()


def _row(
    strategy: str, period: Period, start: datetime, end: datetime, *, members: Sequence[Earned], now: datetime
) -> StrategyPerformance:
    final = now >= end + SETTLED
    values = columns(period, members, method=METHOD, as_of=min(now, end), final=final)
    if period is Period.DAY:
        values["risk_metrics"] |= _what_it_follows_from(members[0].priced)
    for name in _MONEY:
        if values[name] is not None:
            values[name] = values[name].quantize(MONEY_STEP, ROUND_HALF_UP)
    return StrategyPerformance(
        strategy_name=strategy,
        environment=current_environment(),
        period=period,
        period_start=start,
        period_end=end,
        **values,
    )


def _what_it_follows_from(priced: Priced) -> dict[str, Any]:
    equity = priced.equity
    return {
        "inputs": priced.day.inputs,
        "used": dict(priced.day.used),
        "equity": None
        if equity is None
        else {"price": f"{equity.price:f}", "priced_at": equity.at.isoformat(), "priced_by": equity.source},
    }


def _outdated(stored: _Stored, made: Sequence[Earned], request: Request) -> list[StrategyPerformance]:
    """Rows of periods in which, by now, nothing happened: a fill was taken back, or all began earlier."""
    rolled = [period for period in Period if request.rolls(period)]
    wanted = {(str(period), start) for period in rolled for (start, _), _ in _grouped(period, made)}
    return [
        row
        for key, row in stored.items()
        if key not in wanted and Period(row.period) in rolled and _covers_row(request, row)
    ]


def _covers_row(request: Request, row: StrategyPerformance) -> bool:
    last = trading_day(row.period_end - timedelta(microseconds=1))
    return row.period == Period.ALL or request.covers(trading_day(row.period_start), last)


def _write(
    strategy: str, stored: _Stored, rows: Sequence[StrategyPerformance], outdated: Sequence[StrategyPerformance]
) -> Done:
    """Removes first: there is one row of all."""
    StrategyPerformance.objects.filter(pk__in=[row.pk for row in outdated]).delete()
    new, changed, unchanged = [], [], 0
    for row in rows:
        old = stored.get((row.period, row.period_start))
        if old is None:
            new.append(row)
        elif all(getattr(row, name) == getattr(old, name) for name in _WRITTEN):
            unchanged += 1
        else:
            row.pk = old.pk
            changed.append(row)
    for row in new:
        row.pk = row._meta.pk.get_pk_value_on_save(row)
    StrategyPerformance.objects.bulk_create(new, batch_size=_BATCH)
    StrategyPerformance.objects.bulk_update(changed, list(_WRITTEN), batch_size=_BATCH)
    return Done(strategy=strategy, written=len(new) + len(changed), removed=len(outdated), unchanged=unchanged)
