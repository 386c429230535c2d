"""The sums of an order review, added up by the database over stored facts. Whatever the number of orders, QUERIES.

Reading the rows is what takes the time, not adding them up. So PostgreSQL, which keeps many groups beside each other in
memory, answers several questions from one reading. SQLite sorts the rows for each grouping, and has the order of days
alone without: values that are to be counted are joined to one text for each day there, and counted here; and while one
thread does that, another one reads the groupings.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Aggregate, Count, Exists, Max, Min, OuterRef, Q, QuerySet, Sum, TextField

from emo_site.db.snapshot import Beside, one_by_one
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

QUERIES = {"sqlite": 11, "postgresql": 9}
"""At most, by the engine."""
# So many days' texts are fetched together.
DAYS_AT_ONCE = 8
# An index leads to the rows of some days; beyond a third of all it is quicker to read the table as it lies.
FEW_DAYS = 1 / 3

# What GROUPING says of the columns that a row is not grouped by, a bit each, to the one that it is grouped by.
_GROUPED = {2 ** len(SPREAD) - 1 - 2**place: name for place, name in enumerate(reversed(SPREAD))}


class _Kinds(NamedTuple):
    """What is counted by some columns that have few values."""

    stages: dict[tuple[str, int], int]
    strategies: dict[str, Valued]
    underlyings: dict[str, Valued]
    violations: dict[str, int]
    reviewers: dict[int, Workload]


class _Days(NamedTuple):
    """What is known of each day, and, of each column of SPREAD, how many orders have each value."""

    sums: dict[date, Sums]
    least: dict[date, int | None]
    most: dict[date, int | None]
    counts: dict[str, dict[int, int]]


class _Joined(Aggregate):
    """Those that are known, with commas between. SQLite's."""

    function = "GROUP_CONCAT"
    output_field = TextField()


def tally(facts: QuerySet[OrderFacts], *, beside: Beside = one_by_one) -> Tally:
    """All but what is overdue, in QUERIES statements, of which some are read beside the others."""
    # A thread must not be led to another server.
    plain = facts.order_by().using(facts.db)
    if connections[plain.db].vendor == "postgresql":
        by_day, kinds = _each_day(plain, _counts(plain)), _kinds_at_once(plain)
    else:
        found = beside(lambda: _kinds(plain))
        by_day, kinds = _each_day_and_counts(plain), found()
    return Tally(
        days=by_day.sums,
        stages=kinds.stages,
        strategies=kinds.strategies,
        underlyings=kinds.underlyings,
        violations=said_by_rules(kinds.violations),
        overrides=_overrides(plain),
        reviewers=kinds.reviewers,
        spreads={name: spread(by_day.counts[name]) for name in SPREAD},
        cheapest=_extremes(plain, by_day.least, sign=1),
        dearest=_extremes(plain, by_day.most, sign=-1),
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


def _each_day(facts: QuerySet[OrderFacts], counts: dict[str, dict[int, int]]) -> _Days:
    found = _Days({}, {}, {}, counts)
    for row in _by_day(facts, least=Min("execution"), most=Max("execution")):
        _take(row, found)
    return found


def _each_day_and_counts(facts: QuerySet[OrderFacts]) -> _Days:
    counted: dict[str, Counter[str]] = {name: Counter() for name in SPREAD}
    found = _Days({}, {}, {}, {})
    joined = {f"each_{name}": _Joined(name) for name in SPREAD}
    rows = _by_day(facts, least=Min("execution"), most=Max("execution"), **joined)
    for row in rows.iterator(chunk_size=DAYS_AT_ONCE):
        _take(row, found)
        for name, values in counted.items():
            if row[f"each_{name}"] is not None:
                values.update(row[f"each_{name}"].split(","))
    found.counts.update({name: {int(value): n for value, n in values.items()} for name, values in counted.items()})
    return found


def _take(row: Mapping[str, Any], found: _Days) -> None:
    day = row["day"]
    found.sums[day], found.least[day], found.most[day] = _sums(row), row["least"], row["most"]


def _by_day(facts: QuerySet[OrderFacts], **more: Aggregate) -> QuerySet[Any, dict[str, Any]]:
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
        underlyings=_valued(facts, "underlying"),
        violations=_counted(facts.exclude(violations=""), "violations"),
        reviewers=_reviewers(facts),
    )


def _kinds_at_once(facts: QuerySet[OrderFacts]) -> _Kinds:
    """By all these columns but one together, which makes some hundred groups, and from these by each of them."""
    found = _Kinds(
        stages=defaultdict(int),
        strategies=defaultdict(Valued),
        underlyings=_valued(facts, "underlying"),
        violations=defaultdict(int),
        reviewers=defaultdict(lambda: Workload(0, 0, 0, 0)),
    )
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
    """Those that belong to the orders. They are fewer than these, so that it is looked up for each of them."""
    return rows.filter(Exists(facts.filter(order=OuterRef("order")))) if facts.query.where else rows


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
    """The EXTREMES least of sign · execution, given the least of each day.

    Where there are so many days, so many orders cost no more than the last of their leasts: none that costs more is
    among them. Where there are fewer, any order may be.
    """
    known = {day: sign * cost for day, cost in ends.items() if cost is not None}
    if not known:
        return ()
    found = facts.filter(execution__isnull=False)
    if len(known) >= EXTREMES:
        bound = sorted(known.values())[EXTREMES - 1]
        found = facts.filter(**{"execution__lte" if sign > 0 else "execution__gte": sign * bound})
        of_these = [day for day, cost in known.items() if cost <= bound]
        if len(of_these) <= FEW_DAYS * len(ends):
            found = found.filter(day__in=of_these)
    found = found.order_by("execution" if sign > 0 else "-execution", "pk")
    return tuple(found.values_list("execution", "pk")[:EXTREMES])


def _newest(facts: QuerySet[OrderFacts]) -> tuple[tuple[datetime, Any], ...]:
    return tuple(facts.order_by("-created_at", "-pk").values_list("created_at", "pk")[:EXCEPTIONS])
