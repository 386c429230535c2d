"""The sums of an order review, added up by the database over stored facts. Whatever the number of orders, QUERIES.

Reading the rows is what takes the time, not adding them up. So PostgreSQL, which keeps many groups beside each other in
memory, answers several questions from one reading; SQLite, which sorts the rows for each grouping, is asked one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from orders.choices import OPEN, OrderStatus
from orders.models import OrderFacts, RefusedDecision, RuleOverride
from orders.order_facts import POINTS
from reporting.order_tally import (
    EXCEPTIONS,
    EXTREMES,
    SPREAD,
    SUMMED,
    TOGETHER,
    Overdue,
    Refusals,
    Sums,
    Tally,
    Valued,
    Workload,
    said_by_rules,
    spread,
)

QUERIES = {"sqlite": 11 + len(SPREAD), "postgresql": 9}
"""At most, by the engine."""


# What GROUPING says of the columns that a row is not grouped by, a bit each, to the one that it is grouped by.
_GROUPED = {2 ** len(SPREAD) - 1 - 2**place: name for place, name in enumerate(reversed(SPREAD))}


class _Kinds(NamedTuple):
    """What is counted by some columns that have few values."""

    stages: dict[tuple[str, int], int]
    strategies: dict[str, Valued]
    violations: dict[str, int]
    reviewers: dict[int, Workload]


def tally(facts: QuerySet[OrderFacts]) -> Tally:
    """All but what is overdue, in QUERIES statements."""
    plain = facts.order_by()
    at_once = connections[plain.db].vendor == "postgresql"
    by_day = list(_by_day(plain, least=Min("execution"), most=Max("execution")))
    kinds = (_kinds_at_once if at_once else _kinds)(plain)
    counts = (_counts_at_once if at_once else _counts)(plain)
    return Tally(
        days={row["day"]: _sums(row) for row in by_day},
        stages=kinds.stages,
        strategies=kinds.strategies,
        underlyings=_valued(plain, "underlying"),
        violations=said_by_rules(kinds.violations),
        overrides=_overrides(plain),
        reviewers=kinds.reviewers,
        spreads={name: spread(counts[name]) for name in SPREAD},
        cheapest=_extremes(plain, {row["day"]: row["least"] for row in by_day}, sign=1),
        dearest=_extremes(plain, {row["day"]: row["most"] for row in by_day}, sign=-1),
        overfilled=_newest(plain.filter(overfilled=True)),
        refusals=_refusals(plain),
    )


def overdue(facts: QuerySet[OrderFacts], *, now: datetime) -> Overdue:
    """Two queries."""
    late = facts.order_by().filter(status__in=OPEN, expires_at__lte=now)
    return Overdue(n=late.count(), newest=_newest(late))


def days(facts: QuerySet[OrderFacts]) -> dict[date, Sums]:
    """One query, by the trading day of staging."""
    return {row["day"]: _sums(row) for row in _by_day(facts.order_by())}


def _by_day(facts: QuerySet[OrderFacts], **more: Min | Max) -> Iterable[dict[str, Any]]:
    found: QuerySet[Any, Any] = facts.values("day").annotate(
        n=Count("*"),
        **{f"total_{name}": Sum(name) for name in SUMMED},
        **{f"known_{name}": Count(name) for name in SUMMED if name not in TOGETHER},
        **{f"of_{column}": Sum(column) for column in POINTS.values()},
        largest_value=Max("value"),
        n_overfilled=Count("stage", filter=Q(overfilled=True)),
        **more,
    )
    return found.order_by("day")


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(
        n=row["n"],
        # PostgreSQL adds large integers up as numerics.
        total={name: int(row[f"total_{name}"] or 0) for name in SUMMED},
        known={name: row[f"known_{TOGETHER.get(name, name)}"] for name in SUMMED},
        points={code: int(row[f"of_{column}"]) for code, column in POINTS.items()},
        largest_value=row["largest_value"],
        overfilled=row["n_overfilled"],
    )


def _kinds(facts: QuerySet[OrderFacts]) -> _Kinds:
    stages = facts.values_list("status", "stage").annotate(n=Count("*"))
    return _Kinds(
        stages={(status, stage): n for status, stage, n in stages},
        strategies=_valued(facts, "strategy"),
        violations=_counted(facts.exclude(violations=""), "violations"),
        reviewers=_reviewers(facts),
    )


def _kinds_at_once(facts: QuerySet[OrderFacts]) -> _Kinds:
    """By all these columns together, which makes some hundred groups, and from these by each of them."""
    found = _Kinds(defaultdict(int), defaultdict(Valued), defaultdict(int), defaultdict(lambda: Workload(0, 0, 0, 0)))
    rows: Iterable[Any] = facts.values_list("status", "stage", "strategy", "violations", "reviewer").annotate(
        n=Count("*"), known=Count("value"), value=Sum("value"), timed=Count("review_ms"), waited=Sum("review_ms")
    )
    for status, stage, strategy, violations, reviewer, n, known, value, timed, waited in rows:
        found.stages[status, stage] += n
        of = found.strategies[strategy]
        found.strategies[strategy] = Valued(n=of.n + n, known=of.known + known, value=of.value + int(value or 0))
        found.violations[violations] += n
        if reviewer is not None and timed:
            so_far, rejected = found.reviewers[reviewer], timed if status == OrderStatus.REJECTED else 0
            found.reviewers[reviewer] = Workload(
                decided=so_far.decided + timed,
                approved=so_far.approved + timed - rejected,
                rejected=so_far.rejected + rejected,
                waited_ms=so_far.waited_ms + int(waited),
            )
    return found


def _valued(facts: QuerySet[OrderFacts], name: str) -> dict[str, Valued]:
    rows: Iterable[Any] = facts.values_list(name).annotate(n=Count("*"), known=Count("value"), total=Sum("value"))
    return {each: Valued(n=n, known=known, value=int(total or 0)) for each, n, known, total in rows}


def _counts(facts: QuerySet[OrderFacts]) -> dict[str, dict[int, int]]:
    """Of each column of SPREAD, how many orders have each value."""
    return {name: _counted(facts.exclude(**{name: None}), name) for name in SPREAD}


def _counts_at_once(facts: QuerySet[OrderFacts]) -> dict[str, dict[int, int]]:
    columns = ", ".join(SPREAD)
    found: dict[str, dict[int, int]] = {name: {} for name in SPREAD}
    try:
        rows, parameters = facts.values_list(*SPREAD).query.sql_with_params()
    except EmptyResultSet:
        # Nothing can be among them: Django asks no database then.
        return found
    with connections[facts.db].cursor() as cursor:
        cursor.execute(
            f"SELECT GROUPING({columns}), COALESCE({columns}), COUNT(*) FROM ({rows}) AS facts ({columns})"  # noqa: S608  our own columns
            f" GROUP BY GROUPING SETS ({', '.join(f'({name})' for name in SPREAD)})",
            parameters,
        )
        for others, value, n in cursor.fetchall():
            if value is not None:
                found[_GROUPED[others]][value] = n
    return found


def _counted(facts: QuerySet[OrderFacts], name: str) -> dict[Any, int]:
    rows: Iterable[Any] = facts.values_list(name).annotate(n=Count("*"))
    return dict(rows)


def _overrides(facts: QuerySet[OrderFacts]) -> dict[tuple[str, Any], int]:
    given = _of_orders(RuleOverride.objects.using(facts.db).order_by(), facts)
    rows: Iterable[Any] = given.values_list("code", "given_by").annotate(n=Count("*"))
    return {(code, giver): n for code, giver, n in rows}


def _refusals(facts: QuerySet[OrderFacts]) -> dict[Any, Refusals]:
    # Not those of an order that there is not.
    known = RefusedDecision.objects.using(facts.db).filter(order__isnull=False)
    refused = _of_orders(known.order_by(), facts)
    rows: Iterable[Any] = refused.values_list("actor").annotate(n=Count("*"), own=Count("pk", filter=Q(own=True)))
    return {actor: Refusals(n=n, own=own) for actor, n, own in rows}


def _of_orders(rows: QuerySet[Any], facts: QuerySet[OrderFacts]) -> QuerySet[Any]:
    """Those that belong to the orders."""
    return rows.filter(order__in=facts.values("pk")) if facts.query.where else rows


def _reviewers(facts: QuerySet[OrderFacts]) -> dict[int, Workload]:
    decided = facts.filter(reviewer__isnull=False, review_ms__isnull=False)
    rows: Iterable[Any] = decided.values_list("reviewer").annotate(
        n=Count("*"), rejected=Count("stage", filter=Q(status=OrderStatus.REJECTED)), waited=Sum("review_ms")
    )
    return {
        person: Workload(decided=n, approved=n - rejected, rejected=rejected, waited_ms=int(waited))
        for person, n, rejected, waited in rows
    }


def _extremes(
    facts: QuerySet[OrderFacts], ends: Mapping[date, int | None], *, sign: int
) -> tuple[tuple[int, Any], ...]:
    """The EXTREMES least of sign · execution, given the least of each day: they are of the days that have the least."""
    known = {day: sign * cost for day, cost in ends.items() if cost is not None}
    bound = max(sorted(known.values())[:EXTREMES], default=0)
    of_these = facts.filter(day__in=[day for day, cost in known.items() if cost <= bound], execution__isnull=False)
    found = of_these.order_by("execution" if sign > 0 else "-execution", "pk")
    return tuple(found.values_list("execution", "pk")[:EXTREMES])


def _newest(facts: QuerySet[OrderFacts]) -> tuple[tuple[datetime, Any], ...]:
    return tuple(facts.order_by("-created_at", "-pk").values_list("created_at", "pk")[:EXCEPTIONS])
