"""What the servers hold afterwards, against what the desk acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import psycopg

from benchmarks.failover_drill.feed import EVERY_EVENT
from benchmarks.failover_drill.ledger import Action, Ledger, Outcome, Write, longest_gap
from benchmarks.failover_drill.load import Load


@dataclass(frozen=True, kw_only=True)
class Moments:
    """time.monotonic() of the fault, of what ends it (the order to promote, space that is back), of the load's end."""

    fault: float
    relief: float | None
    end: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One run. Seconds, counts; None where the variant has no such thing."""

    orders_acknowledged: int
    orders_found: int
    changes_acknowledged: int
    changes_found: int
    events_acknowledged: int
    events_found: int
    lost: int
    duplicates: int
    strangers: int
    seconds_without_writes: float
    seconds_without_reads: float
    writes_back_after_fault: float | None
    writes_back_after_relief: float | None
    refused: int
    longest_refusal: float
    failed_writes: int
    declined: int
    hung: int
    longest_answer: float
    reads: int
    failed_reads: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class OnRecord:
    """Counts of what one server holds of one run."""

    orders: Counter[str]
    """By client_order_id."""
    changes: Counter[tuple[str, str]]
    """Events, by client_order_id and kind."""
    fills: Counter[str]
    """By execution id."""
    fills_of: Counter[str]
    """By client_order_id."""
    market_events: Counter[int]
    """By their number in the feed."""

    def holds(self, write: Write) -> bool:
        if write.action == Action.STAGE and not self.orders[write.client_order_id]:
            return False
        if write.action == Action.FILL and not self.fills[write.execution_id]:
            return False
        return bool(self.changes[write.client_order_id, write.action])

    def doubled(self, sent_fills: Counter[str]) -> int:
        """Rows that are there once too often: orders, changes that happen once, fills, and events of fills."""
        once = [*self.orders.values(), *self.fills.values()]
        once += [count for (_, kind), count in self.changes.items() if kind != Action.FILL]
        beyond = sum(count - 1 for count in once)
        for name, count in self.fills_of.items():
            beyond += max(0, count - sent_fills[name])
        # Each fill leaves exactly one event.
        beyond += sum(abs(self.changes[name, Action.FILL] - count) for name, count in self.fills_of.items())
        return beyond + sum(count - 1 for count in self.market_events.values())


def on_record(url: str, name: str, *, events_begin: datetime) -> OnRecord:
    """What the server at `url` holds of the run `name`, whose feed began with an event of that time."""
    with psycopg.connect(url, connect_timeout=10) as connection:

        def rows(query: str) -> list[tuple[Any, ...]]:
            return connection.execute(query, {"like": f"{name}-%", "source": name}).fetchall()

        orders = rows(
            "SELECT client_order_id, count(*) FROM staged_orders WHERE client_order_id LIKE %(like)s GROUP BY 1"
        )
        changes = rows(
            "SELECT o.client_order_id, e.kind, count(*) FROM order_events e JOIN staged_orders o ON o.id = e.order_id"
            " WHERE o.client_order_id LIKE %(like)s GROUP BY 1, 2"
        )
        fills = rows(
            "SELECT x.execution_id, o.client_order_id, count(*) FROM executed_orders x"
            " JOIN staged_orders o ON o.id = x.staged_order_id WHERE o.client_order_id LIKE %(like)s GROUP BY 1, 2"
        )
        events = rows("SELECT timestamp FROM market_events WHERE source = %(source)s")
    fills_of: Counter[str] = Counter()
    for _, order, count in fills:
        fills_of[order] += count
    return OnRecord(
        orders=Counter(dict(orders)),
        changes=Counter({(order, kind): count for order, kind, count in changes}),
        fills=Counter({execution: count for execution, _, count in fills}),
        fills_of=fills_of,
        market_events=Counter((timestamp - events_begin) // EVERY_EVENT for (timestamp,) in events),
    )


def examined(load: Load, found: OnRecord, moments: Moments) -> Figures:
    """Everything that the run is judged by."""
    ledger = load.ledger
    acknowledged = ledger.acknowledged
    orders = [write for write in acknowledged if write.action == Action.STAGE]
    present = [write for write in acknowledged if found.holds(write)]
    events_found = sum(number in found.market_events for number in range(load.feed.acknowledged))
    sent = {write.client_order_id for write in ledger.writes} | {write.execution_id for write in ledger.writes}
    sent_fills = Counter(write.client_order_id for write in ledger.writes if write.action == Action.FILL)
    return Figures(
        orders_acknowledged=len(orders),
        orders_found=sum(found.holds(write) for write in orders),
        changes_acknowledged=len(acknowledged),
        changes_found=len(present),
        events_acknowledged=load.feed.acknowledged,
        events_found=events_found,
        lost=len(acknowledged) - len(present) + load.feed.acknowledged - events_found,
        duplicates=found.doubled(sent_fills),
        strangers=len((found.orders.keys() | found.fills.keys()) - sent),
        **_times(ledger, moments),
        refused=ledger.count(Outcome.REFUSED),
        longest_refusal=_longest([write for write in ledger.writes if write.outcome == Outcome.REFUSED]),
        failed_writes=ledger.count(Outcome.FAILED),
        declined=ledger.count(Outcome.DECLINED),
        hung=sum(answer.hung for answer in ledger.answers) + load.feed.hung,
        longest_answer=max(answer.seconds for answer in ledger.answers),
        reads=len(ledger.reads),
        failed_reads=len(ledger.failed_reads),
        problems=tuple(ledger.problems()),
    )


def _longest(writes: Sequence[Write]) -> float:
    return max((write.answer.seconds for write in writes), default=0.0)


def _times(ledger: Ledger, moments: Moments) -> dict[str, Any]:
    writes = sorted(write.answer.ended for write in ledger.acknowledged)
    reads = [read.answer.ended for read in ledger.reads if read.succeeded]
    # The first acknowledgement of a request that came after the fault, or was waiting: not one already on its way.
    pauses = list(pairwise(writes))
    after = [later for earlier, later in pauses if later > moments.fault]
    gap = longest_gap(writes, since=moments.fault, until=moments.end)
    back = next((later for earlier, later in pauses if later > moments.fault and later - earlier >= gap - 1e-9), None)
    relief = moments.relief
    since_relief = None if relief is None else next((moment - relief for moment in after if moment > relief), None)
    return {
        "seconds_without_writes": gap,
        "seconds_without_reads": longest_gap(reads, since=moments.fault, until=moments.end),
        "writes_back_after_fault": None if back is None or relief is None else back - moments.fault,
        "writes_back_after_relief": since_relief,
    }
