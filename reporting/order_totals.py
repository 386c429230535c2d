"""What the orders of a scope add up to: from summaries where these hold, from facts where they don't; the same figures
either way. Call it inside emo_site/db/snapshot.py, so that all of it is of one moment.

Summaries are by day, month, environment and strategy: what asks for more (a symbol, a status, a reviewer) is added up
from facts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet

from emo_site.db.snapshot import Beside, one_by_one
from orders.models import OrderDayChange, OrderFacts
from reporting import order_document, order_sums, order_tally
from reporting.choices import SummaryOf, SummaryUnit
from reporting.models import OrderSummary
from reporting.order_document import DEFINITION
from reporting.order_scope import Period, Scope
from reporting.order_summaries import month_of
from reporting.order_tally import Sums, Tally


class Key(NamedTuple):
    """What is known of a summary before it is read."""

    pk: int
    unit: str
    first: date
    environment: str
    definition: str


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Summaries that hold, none of them with a day of another, and the days (with environment) that none covers."""

    summaries: tuple[int, ...]
    changed: frozenset[tuple[date, str]]


def tally(scope: Scope, using: str, *, now: datetime, beside: Beside = one_by_one) -> Tally:
    facts = scope.facts(OrderFacts.objects.using(using))
    parts = _parts(scope, using)
    if parts.summaries:
        rows = OrderSummary.objects.using(using).filter(pk__in=parts.summaries).values_list("days", "document")
        found = [order_document.tally_of(days, document) for days, document in rows]
        if parts.changed:
            found.append(order_sums.tally(_of_days(facts, parts.changed)))
        whole = order_tally.total(found)
    else:
        whole = order_sums.tally(facts, beside=beside)
    return replace(whole, overdue=order_sums.overdue(facts, now=now))


def sums(scope: Scope, using: str) -> Sums:
    """Those of `tally` alone, which are quicker to come by."""
    facts = scope.facts(OrderFacts.objects.using(using))
    parts = _parts(scope, using)
    if not parts.summaries:
        return order_tally.added_up(list(order_sums.days(facts).values()))
    rows = OrderSummary.objects.using(using).filter(pk__in=parts.summaries).values_list("days", flat=True)
    found = [each for text in rows for each in order_document.days_of(text).values()]
    if parts.changed:
        found += order_sums.days(_of_days(facts, parts.changed)).values()
    return order_tally.added_up(found)


def _parts(scope: Scope, using: str) -> Parts:
    """Two queries, of a scope that summaries know nothing of none."""
    filters = scope.filters
    if not scope.is_summed:
        return Parts(summaries=(), changed=frozenset())
    of = SummaryOf.ALL if filters.strategy is None else SummaryOf.STRATEGY
    rows = OrderSummary.objects.using(using).filter(of=of, strategy=filters.strategy or "")
    changes = OrderDayChange.objects.using(using).order_by()
    if filters.environment is not None:
        rows, changes = rows.filter(environment=filters.environment), changes.filter(environment=filters.environment)
    if scope.period is not None:
        rows = rows.filter(first__gte=month_of(scope.period.first), first__lte=scope.period.last)
        changes = changes.filter(day__gte=scope.period.first, day__lte=scope.period.last)
    changed = set(changes.values_list("day", "environment").distinct())
    return parts((Key(*row) for row in rows.values_list(*Key._fields)), changed, scope.period)


def parts(keys: Iterable[Key], changed: set[tuple[date, str]], period: Period | None) -> Parts:
    """Whole months by their own summary where none of their days has changed, and all others day by day."""
    months, days = [], []
    for key in keys:
        if key.unit == SummaryUnit.MONTH:
            months.append(key)
        elif period is None or period.first <= key.first <= period.last:
            days.append(key)
    changed = changed | {(key.first, key.environment) for key in days if key.definition != DEFINITION}
    touched = {(month_of(day), environment) for day, environment in changed}
    whole = {
        (key.first, key.environment): key.pk
        for key in months
        if key.definition == DEFINITION
        and (key.first, key.environment) not in touched
        and _is_within(key.first, period)
    }
    single = [
        key.pk
        for key in days
        if (key.first, key.environment) not in changed and (month_of(key.first), key.environment) not in whole
    ]
    return Parts(summaries=(*whole.values(), *single), changed=frozenset(changed))


def _is_within(month: date, period: Period | None) -> bool:
    last = month_of(month + timedelta(days=31)) - timedelta(days=1)
    return period is None or period.first <= month <= last <= period.last


def _of_days(facts: QuerySet[OrderFacts], days: Iterable[tuple[date, str]]) -> QuerySet[Any]:
    by_environment: dict[str, list[date]] = {}
    for day, environment in sorted(days):
        by_environment.setdefault(environment, []).append(day)
    wanted = Q()
    for environment, of_it in by_environment.items():
        wanted |= Q(environment=environment, day__in=of_it)
    return facts.filter(wanted)
