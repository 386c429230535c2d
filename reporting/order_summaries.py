"""Orders by trading day and month, summed up once for all reviews of them. The only writer of OrderSummary.

A day that changed is added up anew from its facts, and its month from its days; in the same transaction the marks of
those changes go. They are read before the facts are: a change that comes in between leaves its own mark behind, so that
nobody takes the day for summed up. Whoever is killed at it has done nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import QuerySet

from emo_site.db.one_runner import AlreadyRunning, only_one
from orders import journal
from orders.models import OrderDayChange, OrderFacts, RefusedDecision, RuleOverride
from orders.order_facts import POINTS
from reporting import order_document, order_tally
from reporting.choices import SummaryOf, SummaryUnit
from reporting.models import OrderSummary
from reporting.order_document import DEFINITION
from reporting.order_tally import SPREAD, SUMMED, Tally

TASK = "summarise_orders"
_ROWS_AT_ONCE = 2000
_KEYS_AT_ONCE = 900
_COLUMNS = (
    *("order", "created_at", "day", "stage", "status", "strategy", "underlying", "violations", "reviewer"),
    *dict.fromkeys(("overfilled", "execution", *SUMMED, *SPREAD, *POINTS.values())),
)


@dataclass(frozen=True, kw_only=True)
class Done:
    """Days that were added up anew, and the changes that made it necessary."""

    days: int = 0
    changes: int = 0

    def __add__(self, other: Done) -> Done:
        return Done(days=self.days + other.days, changes=self.changes + other.changes)


def sum_up() -> Done:
    """Every day that changed or was summed up by another definition, one month after the other, each whole or not at
    all. Raises AlreadyRunning; DatabaseError.
    """
    alias = router.db_for_write(OrderSummary)
    with only_one(alias, TASK):
        return sum((_sum_up(alias, *month, days) for month, days in _wanted(alias)), Done())


def distrust_all() -> None:
    """Every day that has orders or a summary is summed up anew the next time."""
    alias = router.db_for_write(OrderSummary)
    with_orders = OrderFacts.objects.using(alias).order_by().values_list("day", "environment").distinct()
    by_day = OrderSummary.objects.using(alias).filter(unit=SummaryUnit.DAY, of=SummaryOf.ALL)
    journal.days_changed({*with_orders, *by_day.values_list("first", "environment")})


def month_of(day: date) -> date:
    return day.replace(day=1)


def _wanted(alias: str) -> list[tuple[tuple[date, str], set[date]]]:
    """By month and environment, the newest first: that is what people look at."""
    changed = OrderDayChange.objects.using(alias).order_by().values_list("day", "environment").distinct()
    by_day = OrderSummary.objects.using(alias).filter(unit=SummaryUnit.DAY, of=SummaryOf.ALL)
    outdated = by_day.exclude(definition=DEFINITION).values_list("first", "environment")
    found: dict[tuple[date, str], set[date]] = defaultdict(set)
    for day, environment in (*changed, *outdated):
        found[month_of(day), environment].add(day)
    return sorted(found.items(), reverse=True)


_ByKind = Mapping[tuple[str, str], Tally]
"""By whose orders they are, as the rows say it: of and strategy."""


def _sum_up(alias: str, month: date, environment: str, days: set[date]) -> Done:
    changes = _changes(alias, environment, days)
    made = {day: _tallies(alias, day, environment) for day in sorted(days)}
    with transaction.atomic(using=alias):
        _take_away(alias, [key for keys in changes.values() for key in keys])
        stored = OrderSummary.objects.using(alias).filter(environment=environment)
        by_day = stored.filter(unit=SummaryUnit.DAY)
        before = dict(by_day.filter(of=SummaryOf.ALL, first__in=days).values_list("first", "changes"))
        by_day.filter(first__in=days).delete()
        rows = [
            _row(kind, tally, SummaryUnit.DAY, day, changes=before.get(day, 0) + len(changes[day]))
            for day, by_kind in made.items()
            for kind, tally in by_kind.items()
        ]
        stored.filter(unit=SummaryUnit.MONTH, first=month).delete()
        others = by_day.filter(first__gte=month, first__lt=_next_month(month))
        of_month = _together([*made.values(), *_stored(others)])
        rows += [_row(kind, tally, SummaryUnit.MONTH, month) for kind, tally in of_month.items()]
        for row in rows:
            row.environment = environment
        OrderSummary.objects.using(alias).bulk_create(rows, batch_size=50)
    return Done(days=len(days), changes=sum(map(len, changes.values())))


def _changes(alias: str, environment: str, days: set[date]) -> dict[date, list[int]]:
    found: dict[date, list[int]] = defaultdict(list)
    rows = OrderDayChange.objects.using(alias).order_by().filter(environment=environment, day__in=days)
    for key, day in rows.values_list("pk", "day"):
        found[day].append(key)
    return found


def _take_away(alias: str, keys: Sequence[int]) -> None:
    for place in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[place : place + _KEYS_AT_ONCE]
        if OrderDayChange.objects.using(alias).filter(pk__in=some).delete()[0] != len(some):
            # Whoever took them may have seen more than we have.
            raise AlreadyRunning(f"{TASK} is running on database {alias!r} already, though the lock was free")


def _tallies(alias: str, day: date, environment: str) -> _ByKind:
    """Of one day, some rows at a time."""
    parts: dict[str, Tally] = {}
    for rows in _read(alias, day, environment):
        by_strategy: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            by_strategy[row["strategy"]].append(row)
        for strategy, some in by_strategy.items():
            parts[strategy] = order_tally.total([parts.get(strategy, Tally()), order_tally.tally(some)])
    return {
        (SummaryOf.ALL, ""): order_tally.total(list(parts.values())),
        **{(SummaryOf.STRATEGY, strategy): tally for strategy, tally in parts.items()},
    }


def _read(alias: str, day: date, environment: str) -> Iterator[list[dict[str, Any]]]:
    of_day = {"order__facts__day": day, "order__facts__environment": environment}
    overrides = _by_order(RuleOverride.objects.using(alias).filter(**of_day), "code", "given_by")
    refused = _by_order(RefusedDecision.objects.using(alias).filter(**of_day), "actor", "own")
    facts = OrderFacts.objects.using(alias).filter(day=day, environment=environment).order_by().values(*_COLUMNS)
    some: list[dict[str, Any]] = []
    row: dict[str, Any]
    for row in facts.iterator(chunk_size=_ROWS_AT_ONCE):
        order = row["order"]
        some.append({**row, "overrides": overrides.get(order, ()), "refused": refused.get(order, ())})
        if len(some) == _ROWS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _by_order(rows: QuerySet[Any], *names: str) -> dict[Any, list[tuple[Any, ...]]]:
    found: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for order, *values in rows.order_by().values_list("order", *names):
        found[order].append(tuple(values))
    return found


def _stored(rows: Any) -> Iterator[_ByKind]:
    for of, strategy, days, document in rows.values_list("of", "strategy", "days", "document"):
        yield {(of, strategy): order_document.tally_of(days, document)}


def _together(parts: Sequence[_ByKind]) -> dict[tuple[str, str], Tally]:
    found: dict[tuple[str, str], list[Tally]] = defaultdict(list)
    for by_kind in parts:
        for kind, tally in by_kind.items():
            found[kind].append(tally)
    return {kind: order_tally.total(tallies) for kind, tallies in found.items()}


def _row(kind: tuple[str, str], tally: Tally, unit: SummaryUnit, first: date, *, changes: int = 0) -> OrderSummary:
    of, strategy = kind
    return OrderSummary(
        unit=unit,
        first=first,
        of=of,
        strategy=strategy,
        days=order_document.days_text(tally),
        document=order_document.document_text(tally),
        definition=DEFINITION,
        changes=changes if of == SummaryOf.ALL else 0,
    )


def _next_month(month: date) -> date:
    return month_of(month + timedelta(days=31))
