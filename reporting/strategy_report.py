"""Strategies as they are on record, gathered for a comparison and for the sheet of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from orders.models import StagedOrder
from orders.standing import trading_day
from reporting import order_table, rollup, strategy_closes, strategy_rows
from reporting.strategy_comparison import (
    UNSTATED,
    OnRecord,
    StrategyComparison,
    compared_of,
    comparison,
    nothing_of,
)
from reporting.strategy_costs import Spent
from reporting.strategy_evidence import trials
from reporting.strategy_rows import Behind, RolledUp
from reporting.strategy_scope import SheetScope, StrategyScope
from reporting.strategy_series import Series, series
from reporting.strategy_sheet import SheetRecord, StrategySheet, sheet
from reporting.strategy_trades import closed
from reporting.trades import RoundTrip

PLACES = {"strategies": "reports/strategies", "strategy": "reports/strategy"}


class UnknownStrategy(LookupError):
    """The message names strategy and environment."""


def build_comparison(scope: StrategyScope, *, now: datetime) -> StrategyComparison:
    """All strategies of the environment. Raises DatabaseError."""
    found = _series(scope)
    rolled_up = strategy_rows.rolled_up(scope.environment)
    return comparison(
        OnRecord(
            as_of=now,
            environment=scope.environment,
            demo=StagedOrder.objects.demo().exists(),
            first=scope.first,
            last=scope.last,
            series=found,
            spent=strategy_rows.spent(scope.environment, first=scope.first, last=scope.last),
            known_until=_newest(rolled_up.values()),
            behind=_said(strategy_rows.behind(scope.environment)),
            link=scope.link,
        )
    )


def build_sheet(asked: SheetScope, *, trips: Sequence[RoundTrip], now: datetime) -> StrategySheet:
    """Of one strategy; `trips` are all that ended. Raises UnknownStrategy, DatabaseError."""
    scope, strategy = asked.scope, asked.strategy
    if not strategy_rows.is_known(scope.environment, strategy):
        raise UnknownStrategy(f"strategy={strategy!r}: has neither orders nor figures in {scope.environment}")
    every = _series(scope)
    spent = strategy_rows.spent(scope.environment, first=scope.first, last=scope.last)
    own = every.get(strategy) or nothing_of(strategy)
    told = strategy_rows.rolled_up(scope.environment).get(strategy)
    late = [each for each in strategy_rows.behind(scope.environment) if each.strategy == strategy]
    return sheet(
        SheetRecord(
            as_of=now,
            environment=scope.environment,
            demo=StagedOrder.objects.demo().exists(),
            series=own,
            first=scope.first,
            last=scope.last,
            tried=trials(compared_of(every, spent)),
            spent=spent.get(strategy, Spent()),
            trips=trips_within(trips, scope),
            known_until=told.as_of if told else None,
            behind=_said(late),
            notes=told.notes if told else (),
            url_of=order_table.url_of,
            older_than=asked.older,
            **_beside(asked, own, now),
        )
    )


def closed_trips(environment: str, strategy: str, *, now: datetime) -> list[RoundTrip]:
    """All round trips that ended. Reads all fills of the strategy. Raises DatabaseError."""
    return list(rollup.closed_trips(strategy, now=now, environment=environment))


def _series(scope: StrategyScope, environment: str | None = None, strategy: str | None = None) -> dict[str, Series]:
    stored = strategy_rows.days(environment or scope.environment, strategy)
    return {name: series(name, days, first=scope.first, last=scope.last) for name, days in stored.items()}


def _beside(asked: SheetScope, own: Series, now: datetime) -> dict[str, Any]:
    found: dict[str, Any] = {"benchmark": asked.benchmark, "compare": asked.compare}
    days = own.returns.days
    if asked.benchmark is not None and days:
        found["closes"] = strategy_closes.closes(asked.benchmark, first=days[0], last=days[-1], now=now)
    if asked.compare is not None:
        found["other"] = _series(asked.scope, asked.compare, asked.strategy).get(asked.strategy)
    return found


def trips_within(trips: Iterable[RoundTrip], scope: StrategyScope) -> list[RoundTrip]:
    """Those that ended on its days."""
    return [trip for trip in trips if _is_within(trip, scope)]


def _is_within(trip: RoundTrip, scope: StrategyScope) -> bool:
    day = trading_day(closed(trip))
    return (scope.first is None or day >= scope.first) and (scope.last is None or day <= scope.last)


def _newest(told: Iterable[RolledUp]) -> datetime | None:
    return max((each.as_of for each in told if each.as_of is not None), default=None)


def _said(late: Sequence[Behind]) -> tuple[str, ...]:
    return tuple(f"{each.strategy or UNSTATED}: {_newer(each.events)} in its figures yet" for each in late)


def _newer(n: int) -> str:
    return (
        "1 newer fill, correction or statement is not"
        if n == 1
        else f"{n:,} newer fills, corrections or statements are not"
    )
