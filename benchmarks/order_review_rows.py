"""Seeded orders with fills and facts for benchmarks/order_review.py, made inside the database, the same on each engine.

Facts are made by SQL too, and some hundred of them are held against what the desk's own function makes of the rows.
Prices end in 3 tenths of a cent, so that no slippage lies in the middle between two tenths of a basis point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from benchmarks.order_lists import _any_first_status, _digits, _part, _run
from benchmarks.order_review_sql import BASE_POSTGRESQL, BASE_SQLITE

SAMPLE = 500
PEOPLE = 6
_STATE = (
    '{"ticket": {"missing": [], "objections": []}, "assessment": {"policy_version": "1.0", "seen": {"quote": {"symbol":'
    ' "S001", "price": "117.003000", "at": "2025-11-03T15:00:00Z"}, "underlying_quote": {"symbol": "S001", "price":'
    ' "117.003000", "at": "2025-11-03T15:00:00Z"}}}}'
)


def fill(count: int, *, start: datetime, period: timedelta, batch: int) -> Iterator[int]:
    """Yields how many orders there are so far; at the end with their fills and facts, and the tables analysed."""
    from django.contrib.auth.models import User

    from orders import models

    people = User.objects.bulk_create(User(username=f"person {n}") for n in range(PEOPLE))
    step = period / timedelta(microseconds=1) / count
    for low in range(0, count, batch):
        high = min(low + batch, count)
        values = {"low": low, "high": high - 1, "start": int(start.timestamp()) * 1_000_000, "step": step}
        with _any_first_status():
            _run(models.StagedOrder, _order(people[0].pk), f"({_source()}) AS made", values)
        yield high
    _run(models.ExecutedOrder, _fill(), "staged_orders WHERE filled_quantity > 0 ORDER BY created_at", {})
    # Without figures on what there is, PostgreSQL may look every order's fills up one by one, for an hour.
    _analyse()
    facts = _facts(start, start + period + timedelta(days=1))
    _run(models.OrderFacts, facts, f"({_base()}) AS base ORDER BY created_at", {})
    _compare(count)
    _analyse()


def _analyse() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def _is_sqlite() -> bool:
    from django.db import connection

    return connection.vendor == "sqlite"


def _source() -> str:
    from benchmarks import rows

    return rows.SQLITE if _is_sqlite() else rows.POSTGRESQL


def _base() -> str:
    return (BASE_SQLITE if _is_sqlite() else BASE_POSTGRESQL).replace("%", "%%")


def _later(column: str, seconds: str) -> str:
    if _is_sqlite():
        return f"datetime({column}, '+' || CAST({seconds} AS integer) || ' seconds')"
    return f"{column} + ({seconds}) * interval '1 second'"


def _order(first: int) -> dict[str, str]:
    status = (
        f"CASE WHEN {_part(100)} < 62 THEN 'executed' WHEN {_part(100)} < 70 THEN 'cancelled'"
        f" WHEN {_part(100)} < 76 THEN 'expired' WHEN {_part(100)} < 86 THEN 'rejected'"
        f" WHEN {_part(100)} < 88 THEN 'broker_rejected' WHEN {_part(100)} < 90 THEN 'partially_filled'"
        f" WHEN {_part(100)} < 92 THEN 'submitted' WHEN {_part(100)} < 94 THEN 'blocked' ELSE 'pending_review' END"
    )
    decided = f"({status}) NOT IN ('pending_review', 'blocked', 'expired')"
    sent = f"({status}) IN ('executed', 'partially_filled', 'submitted', 'broker_rejected')"
    filled = f"({status}) IN ('executed', 'partially_filled')"
    created = "strftime('%%Y-%%m-%%d %%H:%%M:%%S', at)" if _is_sqlite() else "date_trunc('second', at)"
    reviewed = _later(created, f"1 + {_part(3600, 10)}")
    decision = f"97.003 + {_part(4000, 12)} * 0.01"
    approval = f"{decision} + ({_part(11, 6)} - 5) * 0.01"
    arrival = f"{approval} + ({_part(7, 9)} - 3) * 0.01"
    quantity = f"(1 + {_part(9, 8)})"
    symbol = f"'S' || {_digits(_part(200, 12), 3)}"
    json = f"'{_STATE}'" + ("" if _is_sqlite() else "::jsonb")
    return {
        "id": "id",
        "created_at": created,
        "updated_at": created,
        "symbol": symbol,
        "underlying": symbol,
        "side": "CASE WHEN n %% 3 = 0 THEN 'sell' ELSE 'buy' END",
        "order_type": "'limit'",
        "quantity": quantity,
        "price": f"round({decision} + 0.05, 3)",
        "status": status,
        "strategy": f"'strategy ' || {_digits(_part(12, 4), 2)}",
        "source": "'bot'",
        "client_order_id": "'bot-' || CAST(n AS text)",
        "fingerprint": _digits("h", 64),
        "audit_head": _digits("h", 64),
        "workflow_state": json,
        "created_by_id": f"{first} + {_part(PEOPLE, 10)}",
        "reviewed_by_id": f"CASE WHEN {decided} THEN {first} + ({_part(PEOPLE, 10)} + 1) %% {PEOPLE} END",
        "reviewed_at": f"CASE WHEN {decided} THEN {reviewed} END",
        "review_notes": "'because'",
        "submitted_at": f"CASE WHEN {sent} THEN {_later(reviewed, f'1 + {_part(60, 5)}')} END",
        "violations": f"CASE WHEN ({status}) = 'blocked' THEN 'MAX_TRADE_RISK:block'"
        f" WHEN {_part(20, 18)} = 0 THEN 'PRICE_COLLAR:warn' ELSE '' END",
        "risk_score": _part(100, 14),
        "compliance_score": "100",
        "performance_score": f"CASE WHEN {filled} THEN 80.25 END",
        "notional": f"round({quantity} * ({decision} + 0.05), 3)",
        "max_loss": "1000",
        "decision_price": f"round({decision}, 3)",
        "approval_price": f"CASE WHEN {decided} THEN round({approval}, 3) END",
        "arrival_price": f"CASE WHEN {sent} THEN round({arrival}, 3) END",
        "filled_quantity": f"CASE WHEN ({status}) = 'executed' THEN {quantity}"
        f" WHEN {filled} THEN {quantity} / 2.0 ELSE 0 END",
        "average_fill_price": f"CASE WHEN {filled} THEN round({arrival} + ({_part(21, 3)} - 8) * 0.01, 3) END",
        "event_count": "4",
    }


def _fill() -> dict[str, str]:
    return {
        "id": "id",
        "staged_order_id": "id",
        "execution_id": "'X-' || client_order_id",
        "symbol": "symbol",
        "side": "side",
        "execution_price": "average_fill_price",
        "execution_quantity": "filled_quantity",
        "execution_timestamp": _later("submitted_at", "2 + filled_quantity * 7"),
        "recorded_at": _later("submitted_at", "5 + filled_quantity * 7"),
        "fees": "0.65",
        "kind": "'fill'",
    }


def _facts(first: datetime, last: datetime) -> Mapping[str, str]:
    whole = "CAST(round({}) AS bigint)" if not _is_sqlite() else "CAST(round({}) AS integer)"
    plain = (
        "order_id",
        "events",
        "environment",
        "created_at",
        "strategy",
        "underlying",
        "status",
        "violations",
        "stage",
    )
    scores = {name: whole.format(f"{name} * 100") for name in ("risk_score", "compliance_score", "performance_score")}
    money = ("value", "fees", "decided_value", "review_delay", "broker_delay", "execution")
    return {
        **{name: name for name in plain},
        "reviewer_id": "reviewer_id",
        "day": _day(first, last),
        "overfilled": "false",
        "fill_share": whole.format("fill_share * 10000"),
        **scores,
        **{name: whole.format(f"{name} * 10000") for name in money},
        **{name: whole.format(f"{name} * 10") for name in ("decision_slippage", "arrival_slippage", "limit_slippage")},
        **{name: _three_digits(name) for name in ("review_ms", "broker_ms", "fill_ms", "execution_ms")},
        "points_price_collar": "5",
        "points_max_trade_risk": "CAST(risk_score AS integer) * 50",
    }


def _three_digits(name: str) -> str:
    sizes = [(10**digits, 10 ** (digits - 3)) for digits in range(4, 12)]
    cases = " ".join(f"WHEN {name} < {size} THEN ({name} + {unit // 2}) / {unit} * {unit}" for size, unit in sizes)
    return f"CASE WHEN {name} < 1000 THEN {name} {cases} END"


def _day(first: datetime, last: datetime) -> str:
    """SQLite knows no time zones: the changes of New York's clocks are told one by one."""
    from orders.standing import TRADING_ZONE

    if not _is_sqlite():
        return "(created_at AT TIME ZONE 'America/New_York')::date"
    at, offset, cases = first, first.astimezone(TRADING_ZONE).utcoffset(), []
    while at < last:
        at += timedelta(hours=1)
        now = at.astimezone(TRADING_ZONE).utcoffset()
        if now != offset:
            cases.append(f"WHEN created_at < '{at:%Y-%m-%d %H:00:00}' THEN '{_hours(offset)}'")
            offset = now
    if not cases:
        return f"date(created_at, '{_hours(offset)}')"
    return f"date(created_at, CASE {' '.join(cases)} ELSE '{_hours(offset)}' END)"


def _hours(offset: Any) -> str:
    return f"{int(offset.total_seconds() // 3600)} hours"


def _compare(count: int) -> None:
    """Raises SystemExit where a stored fact is another than the desk would have stored."""
    from orders import order_facts
    from orders.models import OrderFacts, StagedOrder
    from orders.order_facts import FillSums, Known

    ids = [f"bot-{number}" for number in range(0, count, max(1, count // SAMPLE))]
    orders = StagedOrder.objects.filter(client_order_id__in=ids).prefetch_related("executions")
    facts = OrderFacts.objects.in_bulk([order.pk for order in orders])
    for order in orders:
        known = Known(**{name: getattr(order, name) for name in order_facts.COLUMNS})
        sums = FillSums()
        for each in order.executions.all():
            sums = sums.and_one_more(each.fees, each.execution_timestamp)
        wanted = {**order_facts.of_order(known), **order_facts.of_fills(known, sums)}
        stored = {name: getattr(facts[order.pk], name) for name in wanted}
        if stored != wanted:
            different = {name: (stored[name], wanted[name]) for name in wanted if stored[name] != wanted[name]}
            raise SystemExit(f"facts of {order.client_order_id} are not what the desk makes: {different}")
