"""The sums that an order review is made of, how facts of orders add up to them, and they to each other. Pure.

The database adds up the same in reporting/order_sums.py; both must come to the same, and tests hold them together.
Everything is whole numbers, so that the order in which parts are added up makes no difference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

from orders.choices import OPEN, OrderStatus
from orders.order_facts import POINTS, Stage

# Columns of facts of which the sum and the number of known ones are wanted.
SUMMED = (
    "value",
    "risk_score",
    "compliance_score",
    "performance_score",
    "fill_share",
    "fees",
    "decided_value",
    "review_delay",
    "broker_delay",
    "execution",
    "opportunity",
)
# Columns that are known where that other one is, and only there: they are counted once.
TOGETHER = dict.fromkeys(("review_delay", "broker_delay", "execution"), "decided_value")
# Columns of which the number of orders with each value is wanted, and their sum.
SPREAD = (
    "decision_slippage",
    "arrival_slippage",
    "limit_slippage",
    "spread_slippage",
    "review_ms",
    "broker_ms",
    "fill_ms",
    "execution_ms",
)
EXTREMES = 5
EXCEPTIONS = 10


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Of some orders. `total` and `known` by the columns of SUMMED, `points` by the code of a rule."""

    n: int = 0
    total: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))
    known: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(SUMMED, 0))
    points: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(POINTS, 0))
    largest_value: int | None = None
    overfilled: int = 0

    def __add__(self, other: Sums) -> Sums:
        return added_up([self, other])


def added_up(many: Sequence[Sums]) -> Sums:
    """All at once, which for the days of some years is quicker than one after the other."""
    known = [each.largest_value for each in many if each.largest_value is not None]
    return Sums(
        n=sum(each.n for each in many),
        total=_by_name(SUMMED, [each.total for each in many]),
        known=_by_name(SUMMED, [each.known for each in many]),
        points=_by_name(POINTS, [each.points for each in many]),
        largest_value=max(known, default=None),
        overfilled=sum(each.overfilled for each in many),
    )


def _by_name(names: Iterable[str], many: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(map(itemgetter(name), many)) for name in names}


class Valued(NamedTuple):
    """How many orders, how many with a known notional, and these added up."""

    n: int = 0
    known: int = 0
    value: int = 0


class Workload(NamedTuple):
    """What one person decided: orders, of these approved and rejected, and the milliseconds from staging added up."""

    decided: int
    approved: int
    rejected: int
    waited_ms: int


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of the orders of which a column is known: its sum, and how many orders have each value, as `coarse` has it."""

    total: int = 0
    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def n(self) -> int:
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """How many orders are open though their own time has ended, and the EXCEPTIONS newest as (staged at, order)."""

    n: int = 0
    newest: tuple[tuple[datetime, Any], ...] = ()


class Refusals(NamedTuple):
    """Decisions that one person was refused: all, and those of their own orders that need a second person."""

    n: int
    own: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """`order`s by the key that the facts came with. `violations` by "rule:severity", `reviewers` by key or name.
    `overrides` by the rule and who set it aside, None where that is not known; `refusals` by person.

    All but `overdue` is what the orders say by themselves, whatever the time is.
    """

    days: Mapping[date, Sums] = field(default_factory=dict)
    stages: Mapping[tuple[str, int], int] = field(default_factory=dict)
    strategies: Mapping[str, Valued] = field(default_factory=dict)
    underlyings: Mapping[str, Valued] = field(default_factory=dict)
    violations: Mapping[str, int] = field(default_factory=dict)
    overrides: Mapping[tuple[str, Any], int] = field(default_factory=dict)
    reviewers: Mapping[Any, Workload] = field(default_factory=dict)
    refusals: Mapping[Any, Refusals] = field(default_factory=dict)
    spreads: Mapping[str, Spread] = field(default_factory=lambda: dict.fromkeys(SPREAD, Spread()))
    cheapest: tuple[tuple[int, Any], ...] = ()
    """(execution cost, order) of the EXTREMES cheapest executions, the cheapest first."""
    dearest: tuple[tuple[int, Any], ...] = ()
    overfilled: tuple[tuple[datetime, Any], ...] = ()
    """(staged at, order) of the EXCEPTIONS newest that were filled beyond what was ordered."""
    overdue: Overdue = Overdue()

    @cached_property
    def sums(self) -> Sums:
        return added_up(list(self.days.values()))

    @property
    def odd(self) -> tuple[Any, ...]:
        """The newest orders that are overfilled or overdue."""
        return tuple(order for _, order in _newest({*self.overfilled, *self.overdue.newest}))


def total(tallies: Sequence[Tally]) -> Tally:
    """Of the orders of all of them, no order being in two. What is overdue is not added up: it is asked for at once."""
    return Tally(
        days={
            day: found[0] if len(found) == 1 else added_up(found)
            for day, found in _gathered([each.days for each in tallies]).items()
        },
        stages=_counted(each.stages for each in tallies),
        strategies=_fields_added(Valued, [each.strategies for each in tallies]),
        underlyings=_fields_added(Valued, [each.underlyings for each in tallies]),
        violations=_counted(each.violations for each in tallies),
        overrides=_counted(each.overrides for each in tallies),
        reviewers=_fields_added(Workload, [each.reviewers for each in tallies]),
        refusals=_fields_added(Refusals, [each.refusals for each in tallies]),
        spreads={name: _spread_of([each.spreads[name] for each in tallies]) for name in SPREAD},
        cheapest=cheapest(cost for each in tallies for cost in each.cheapest),
        dearest=dearest(cost for each in tallies for cost in each.dearest),
        overfilled=_newest(order for each in tallies for order in each.overfilled),
    )


def _gathered(parts: Sequence[Mapping[Any, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for part in parts:
        for key, value in part.items():
            found[key].append(value)
    return found


def _fields_added(kind: Callable[..., Any], parts: Sequence[Mapping[Any, Any]]) -> dict[Any, Any]:
    return {key: kind(*map(sum, zip(*many, strict=True))) for key, many in _gathered(parts).items()}


def _counted(parts: Iterable[Mapping[Any, int]]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    known = found.get
    for part in parts:
        for key, n in part.items():
            found[key] = known(key, 0) + n
    return found


def _spread_of(parts: Sequence[Spread]) -> Spread:
    return Spread(total=sum(each.total for each in parts), counts=_counted(each.counts for each in parts))


def tally(rows: Sequence[Mapping[str, Any]]) -> Tally:
    """Of facts by the names of their columns, with `order` their key; `overrides` are pairs of a rule that
    was set aside and who did, `refused` of who was refused a decision and whether it was of an order of their own.
    """
    costs = [(row["execution"], row["order"]) for row in rows if row["execution"] is not None]
    return Tally(
        days={day: _sums(of_day) for day, of_day in sorted(_grouped(rows, "day").items())},
        stages=Counter((str(row["status"]), int(row["stage"])) for row in rows),
        strategies=_valued(rows, "strategy"),
        underlyings=_valued(rows, "underlying"),
        violations=said_by_rules(Counter(row["violations"] for row in rows)),
        overrides=Counter(given for row in rows for given in row.get("overrides", ())),
        reviewers=_reviewers(rows),
        spreads={name: spread(Counter(row[name] for row in rows if row[name] is not None)) for name in SPREAD},
        cheapest=cheapest(costs),
        dearest=dearest(costs),
        overfilled=_newest((row["created_at"], row["order"]) for row in rows if row["overfilled"]),
        refusals=_refusals(rows),
    )


def overdue(rows: Iterable[Mapping[str, Any]], now: datetime) -> Overdue:
    """Of what is open, though its own time has ended."""
    found = [
        (row["created_at"], row["order"])
        for row in rows
        if row["status"] in OPEN and row["expires_at"] is not None and row["expires_at"] <= now
    ]
    return Overdue(n=len(found), newest=_newest(found))


def said_by_rules(texts: Mapping[str, int]) -> dict[str, int]:
    """From the column's texts, "rule:severity" after "rule:severity", to how often each was said."""
    found: dict[str, int] = defaultdict(int)
    for text, n in texts.items():
        for said in text.split(",") if text else ():
            found[said] += n
    return found


def spread(counts: Mapping[int, int]) -> Spread:
    """From how many orders have each value, to the last digit."""
    found: dict[int, int] = defaultdict(int)
    for value, n in counts.items():
        found[coarse(value)] += n
    return Spread(total=sum(value * n for value, n in counts.items()), counts=found)


def coarse(value: int) -> int:
    """To the nearest 5 of its third digit, which is at most 2.5 % away; what has two digits is left as it is.

    A distribution of however many orders then has some hundred values.
    """
    size = abs(value)
    if size < 100:
        return value
    unit: int = 5 * 10 ** (len(str(size)) - 3)
    rounded = (size + unit // 2) // unit * unit
    return rounded if value > 0 else -rounded


def cheapest(costs: Iterable[tuple[int, Any]]) -> tuple[tuple[int, Any], ...]:
    return tuple(sorted(costs)[:EXTREMES])


def dearest(costs: Iterable[tuple[int, Any]]) -> tuple[tuple[int, Any], ...]:
    return tuple(sorted(costs, key=lambda cost: (-cost[0], cost[1]))[:EXTREMES])


def _newest(orders: Iterable[tuple[datetime, Any]]) -> tuple[tuple[datetime, Any], ...]:
    return tuple(sorted(orders, reverse=True)[:EXCEPTIONS])


def _grouped(rows: Iterable[Mapping[str, Any]], name: str) -> dict[Any, list[Mapping[str, Any]]]:
    found: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found


def _sums(rows: Sequence[Mapping[str, Any]]) -> Sums:
    return Sums(
        n=len(rows),
        total={name: sum(row[name] for row in rows if row[name] is not None) for name in SUMMED},
        known={name: sum(row[name] is not None for row in rows) for name in SUMMED},
        points={code: sum(row.get(column, 0) for row in rows) for code, column in POINTS.items()},
        largest_value=max((row["value"] for row in rows if row["value"] is not None), default=None),
        overfilled=sum(row["overfilled"] for row in rows),
    )


def _valued(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, Valued]:
    return {
        each: Valued(
            n=len(found),
            known=sum(row["value"] is not None for row in found),
            value=sum(row["value"] or 0 for row in found),
        )
        for each, found in _grouped(rows, name).items()
    }


def _refusals(rows: Iterable[Mapping[str, Any]]) -> dict[Any, Refusals]:
    found: dict[Any, list[bool]] = defaultdict(list)
    for row in rows:
        for actor, own in row.get("refused", ()):
            found[actor].append(own)
    return {actor: Refusals(n=len(each), own=sum(each)) for actor, each in found.items()}


def _reviewers(rows: Iterable[Mapping[str, Any]]) -> dict[Any, Workload]:
    """Of orders that a person decided, and of which is known when."""
    decided = _grouped(
        (row for row in rows if row["reviewer"] is not None and row["review_ms"] is not None), "reviewer"
    )
    return {
        person: Workload(
            decided=len(found),
            approved=sum(row["status"] != OrderStatus.REJECTED for row in found),
            rejected=sum(row["status"] == OrderStatus.REJECTED for row in found),
            waited_ms=sum(row["review_ms"] for row in found),
        )
        for person, found in decided.items()
    }


def quantile(counts: Mapping[int, int], share: float) -> int | None:
    """The least value at or below which that share of all lies (nearest rank); None of nothing."""
    wanted, below = share * sum(counts.values()), 0
    for value in sorted(counts):
        below += counts[value]
        if below >= wanted:
            return value
    return None


def reached(stages: Mapping[tuple[str, int], int], stage: Stage) -> int:
    """How many orders came that far or further."""
    return sum(n for (_, came_to), n in stages.items() if came_to >= stage)
