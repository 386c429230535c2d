"""What is on record of strategies: their stored days, what their orders cost, and whether the roll-up is behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db.models import Count, Q, Sum

from orders.models import ExecutedOrder, OrderEvent, OrderFacts, PositionSnapshot, StagedOrder
from orders.standing import trading_day
from reporting.choices import Period
from reporting.models import RollUp, StrategyPerformance
from reporting.strategy_costs import Spent
from reporting.strategy_series import StoredDay
from reporting.trades import ZERO

_UNIT = Decimal("0.0001")
_COLUMNS = (
    "strategy_name",
    "period_start",
    "realized_pnl",
    "unrealized_pnl",
    "fees",
    "total_return",
    "total_trades",
    "winning_trades",
    "losing_trades",
)
_FIGURES = "risk_metrics__figures"
_REASONS = (
    f"{_FIGURES}__total_return__reason",
    f"{_FIGURES}__net_pnl__reason",
    f"{_FIGURES}__net_pnl__value",
    "risk_metrics__equity__price",
)


@dataclass(frozen=True, kw_only=True)
class RolledUp:
    """How far the rows of a strategy go: `as_of` the moment, None where it was never told; `notes` of what is open."""

    as_of: datetime | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Behind:
    """A strategy with fills, corrections or statements that its rows don't know."""

    strategy: str
    events: int


def environments() -> tuple[str, ...]:
    """Those of which there is a roll-up, by name."""
    return tuple(sorted(RollUp.objects.order_by().values_list("environment", flat=True).distinct()))


def days(environment: str, strategy: str | None = None) -> dict[str, list[StoredDay]]:
    """By strategy, oldest first. Two queries."""
    rows = StrategyPerformance.objects.filter(environment=environment, period=Period.DAY)
    if strategy is not None:
        rows = rows.filter(strategy_name=strategy)
    rows = rows.order_by("strategy_name", "period_start")
    # The documents are large: they are read where the columns leave a question only.
    unsaid = rows.filter(Q(total_return=None) | Q(unrealized_pnl=None) | Q(realized_pnl=None))
    told = {(name, start): rest for name, start, *rest in unsaid.values_list(*_COLUMNS[:2], *_REASONS)}
    found: dict[str, list[StoredDay]] = {}
    for name, start, *values in rows.values_list(*_COLUMNS):
        found.setdefault(name, []).append(_stored(start, values, told.get((name, start))))
    return found


def _stored(start: datetime, values: list[Any], told: list[Any] | None) -> StoredDay:
    realised, unrealised, fees, growth, trades, won, lost = values
    no_growth, no_money, net, equity = told or ("", "", None, None)
    if growth is None and net is not None and equity is not None and Decimal(equity) > 0:
        # A loss of more than everything is a return, though none that compounds.
        growth = float(Decimal(net) / Decimal(equity))
    return StoredDay(
        day=_day(start),
        realised=realised,
        unrealised=unrealised,
        fees=fees or ZERO,
        growth=growth,
        trades=trades,
        won=won,
        lost=lost,
        no_money=no_money or "",
        no_growth="" if growth is not None else no_growth or "",
    )


@lru_cache(maxsize=4096)
def _day(start: datetime) -> date:
    """Strategies share their days, and zones are slow to reckon with."""
    return trading_day(start)


def rolled_up(environment: str) -> dict[str, RolledUp]:
    """By strategy; one query."""
    rows = StrategyPerformance.objects.filter(environment=environment, period=Period.ALL)
    found = rows.order_by().values_list("strategy_name", "risk_metrics__as_of", "risk_metrics__notes")
    return {
        name: RolledUp(as_of=None if as_of is None else datetime.fromisoformat(as_of), notes=tuple(notes or ()))
        for name, as_of, notes in found
    }


def spent(environment: str, *, first: date | None = None, last: date | None = None) -> dict[str, Spent]:
    """By strategy, of the orders staged in the days; one query."""
    facts = OrderFacts.objects.filter(environment=environment)
    if first is not None:
        facts = facts.filter(day__gte=first)
    if last is not None:
        facts = facts.filter(day__lte=last)
    rows = (
        facts.order_by()
        .values("strategy")
        .annotate(
            orders=Count("*"),
            filled=Count("fees"),
            known=Count("decided_value"),
            slippage=Sum("execution"),
            delay=Sum("review_delay"),
            value=Sum("decided_value"),
            decided=Count("review_ms"),
            waited=Sum("review_ms"),
        )
    )
    return {row["strategy"]: _spent(row) for row in rows}


def _spent(row: Mapping[str, Any]) -> Spent:
    return Spent(
        orders=row["orders"],
        filled=row["filled"],
        known=row["known"],
        slippage=int(row["slippage"] or 0) * _UNIT,
        review_delay=int(row["delay"] or 0) * _UNIT,
        decided_value=int(row["value"] or 0) * _UNIT,
        decided=row["decided"],
        waited_ms=int(row["waited"] or 0),
    )


def behind(environment: str) -> tuple[Behind, ...]:
    """Two queries where every row of fills and statements was rolled up, four else."""
    fills = ExecutedOrder.objects.filter(environment=environment)
    statements = PositionSnapshot.objects.filter(environment=environment)
    states = RollUp.objects.filter(environment=environment)
    seen = {
        name: executions + stated
        for name, executions, stated in states.values_list("strategy_name", "executions", "statements")
    }
    # None of them ever goes: as many as before are the same ones.
    if fills.count() + statements.count() == sum(seen.values()):
        return ()
    now: dict[str, int] = {}
    for rows, column in ((fills, "staged_order__strategy"), (statements, "strategy")):
        counted: Iterable[Any] = rows.order_by().values_list(column).annotate(n=Count("*"))
        for name, n in counted:
            now[name] = now.get(name, 0) + n
    newer = {name: n - seen.get(name, 0) for name, n in sorted(now.items())}
    return tuple(Behind(strategy=name, events=n) for name, n in newer.items() if n > 0)


def is_known(environment: str, strategy: str) -> bool:
    """Whether any order or figure is of it."""
    of_rows = StrategyPerformance.objects.filter(environment=environment, strategy_name=strategy)
    of_orders = StagedOrder.objects.filter(environment=environment, strategy=strategy)
    return of_rows.exists() or of_orders.exists()


def roll_ups() -> tuple[Any, ...]:
    """Another one after each roll-up of a strategy that changed or holds something; one query."""
    states = RollUp.objects.order_by("pk")
    return tuple(states.values_list("pk", "executions", "statements", "version", "due_at"))


def newest_event() -> Any:
    """Another one after each step of an order; one query."""
    return OrderEvent.objects.order_by("-at", "-id").values_list("pk", flat=True).first()
