"""The order review by hand: the best single statement that we know for each engine over the rows of orders and fills.
What rules added to the score is left out: it is only in the trail.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import connection

from benchmarks.order_review_ways import SHARES
from reporting.order_tally import Tally, quantile, said_by_rules

SPREADS = (
    "decision_slippage",
    "arrival_slippage",
    "limit_slippage",
    "review_ms",
    "broker_ms",
    "fill_ms",
    "execution_ms",
)
_SUMS = ("value", "fees", "decided_value", "review_delay", "broker_delay", "execution", "fill_share")
_SCORES = ("risk_score", "compliance_score", "performance_score")

_SENT = "status IN ('submitted', 'partially_filled', 'executed', 'broker_rejected') OR submitted_at IS NOT NULL"
# An order with what its columns and its fills come to, in units of money, basis points and milliseconds.
_BASE = """
SELECT id AS order_id, event_count AS events, environment, created_at, strategy, underlying, status, violations,
       reviewed_by_id AS reviewer_id, notional AS value, risk_score, compliance_score, performance_score, fees,
       CASE WHEN filled_quantity >= quantity THEN 5 WHEN filled_quantity > 0 THEN 4 WHEN {sent} THEN 3
            WHEN status = 'rejected' THEN 1 WHEN reviewed_at IS NOT NULL THEN 2 ELSE 0 END AS stage,
       CASE WHEN {sent} OR filled_quantity > 0 THEN
            CASE WHEN filled_quantity >= quantity THEN 1.0 ELSE filled_quantity * 1.0 / quantity END END AS fill_share,
       CASE WHEN known THEN decision_price * filled_quantity END AS decided_value,
       CASE WHEN known THEN s * (approval_price - decision_price) * filled_quantity END AS review_delay,
       CASE WHEN known THEN s * (arrival_price - approval_price) * filled_quantity END AS broker_delay,
       CASE WHEN known THEN s * (average_fill_price - arrival_price) * filled_quantity END AS execution,
       s * (average_fill_price / decision_price - 1) * 10000 AS decision_slippage,
       s * (average_fill_price / arrival_price - 1) * 10000 AS arrival_slippage,
       s * (average_fill_price / price - 1) * 10000 AS limit_slippage,
       {review} AS review_ms, {broker} AS broker_ms, {fill} AS fill_ms, {execution} AS execution_ms
FROM (SELECT *, CASE WHEN side = 'sell' THEN -1 ELSE 1 END AS s,
             decision_price IS NOT NULL AND approval_price IS NOT NULL AND arrival_price IS NOT NULL
             AND average_fill_price IS NOT NULL AND filled_quantity > 0 AS known FROM staged_orders) AS orders
LEFT JOIN (SELECT staged_order_id, sum(fees) AS fees, min(execution_timestamp) AS first_at,
                  max(execution_timestamp) AS last_at
           FROM executed_orders AS fill
           WHERE kind <> 'bust' AND NOT EXISTS (SELECT 1 FROM executed_orders WHERE corrects_id = fill.id)
           GROUP BY staged_order_id) AS filled ON filled.staged_order_id = orders.id
"""


def _base(elapsed: str) -> str:
    pairs = {
        "review": ("created_at", "reviewed_at"),
        "broker": ("reviewed_at", "submitted_at"),
        "fill": ("submitted_at", "first_at"),
        "execution": ("created_at", "last_at"),
    }
    return _BASE.format(sent=_SENT, **{name: elapsed.format(*columns) for name, columns in pairs.items()})


BASE_POSTGRESQL = _base("(extract(epoch FROM {1} - {0}) * 1000)::bigint")
BASE_SQLITE = _base("CAST(round((julianday({1}) - julianday({0})) * 86400000) AS integer)")

_VALUED = "count(*), count(value), sum(value)"
_DAYS = ", ".join(
    ["count(*)", "max(value)", *(f"sum({name}), count({name})" for name in (*_SUMS, *_SCORES))],
)
_GROUPS = {
    "days": ("{day}", _DAYS),
    "stages": ("status, stage", "count(*)"),
    "strategies": ("strategy", _VALUED),
    "underlyings": ("underlying", _VALUED),
    "violations": ("violations", "count(*)"),
    "reviewers": ("reviewer_id", "count(*), count(CASE WHEN status = 'rejected' THEN 1 END), sum(review_ms)"),
}


def _statement(vendor: str) -> str:
    sqlite = vendor == "sqlite"
    day = "date(created_at, '-5 hours')" if sqlite else "(created_at AT TIME ZONE 'America/New_York')::date"
    array, collect = ("json_array", "json_group_array(json({}))") if sqlite else ("json_build_array", "json_agg({})")
    parts = []
    for keys, figures in _GROUPS.values():
        rows = f"SELECT {array}({keys.format(day=day)}, {figures}) AS row FROM base GROUP BY {keys.format(day=day)}"
        parts.append(f"(SELECT {collect.format('row')} FROM ({rows}) AS rows)")
    parts += [_ranks(name, sqlite) for name in SPREADS]
    for order in ("", " DESC"):
        found = f"SELECT {array}(execution, order_id) AS row FROM base WHERE execution IS NOT NULL"
        parts.append(
            f"(SELECT {collect.format('row')} FROM ({found} ORDER BY execution{order}, order_id LIMIT 5) AS rows)"
        )
    base = BASE_SQLITE if sqlite else BASE_POSTGRESQL
    return f"WITH base AS MATERIALIZED ({base}) SELECT {', '.join(parts)}"


def _ranks(name: str, sqlite: bool) -> str:
    if not sqlite:
        shares = ", ".join(map(str, SHARES))
        found = f"percentile_disc(ARRAY[{shares}]) WITHIN GROUP (ORDER BY {name})"
        return f"(SELECT json_build_array({found}, count({name}), sum({name})) FROM base)"
    ranks = ", ".join(f"CAST(ceil({share} * n) AS integer)" for share in SHARES)
    rows = (
        f"SELECT {name} AS value, row_number() OVER (ORDER BY {name}) AS place, count(*) OVER () AS n,"
        f" sum({name}) OVER () AS total FROM base WHERE {name} IS NOT NULL"
    )
    return (
        f"(SELECT json_array(json_group_array(value), max(n), max(total)) FROM"
        f" (SELECT value, n, total FROM ({rows}) WHERE place IN ({ranks}) ORDER BY place))"
    )


def tally() -> dict[str, Any]:
    """Everything that the statement finds, by the names of a Tally."""
    connection.ensure_connection()
    cursor = connection.connection.cursor()
    try:
        row = cursor.execute(_statement(connection.vendor)).fetchone()
    finally:
        cursor.close()
    found = [json.loads(each) if isinstance(each, str) else each for each in row]
    names = [*_GROUPS, *SPREADS, "cheapest", "dearest"]
    return dict(zip(names, found, strict=True))


def differences(ours: Tally, theirs: dict[str, Any]) -> list[str]:
    """What the two ways do not agree on: sums to the last digit, quantiles as well as a Tally keeps them."""
    sums = ours.sums
    pairs: dict[str, tuple[Any, Any]] = {"orders": (sums.n, sum(row[1] for row in theirs["days"]))}
    for place, name in enumerate(_SUMS[:-1]):
        total = sum(round(float(row[3 + 2 * place] or 0) * 10_000) for row in theirs["days"])
        pairs[name] = (sums.total[name], total)
        pairs[f"n of {name}"] = (sums.known[name], sum(row[4 + 2 * place] for row in theirs["days"]))
    pairs["stages"] = (dict(ours.stages), {(status, stage): n for status, stage, n in theirs["stages"]})
    pairs["strategies"] = (
        {name: (each.n, each.known, each.value) for name, each in ours.strategies.items()},
        {name: (n, known, round(float(value) * 10_000)) for name, n, known, value in theirs["strategies"]},
    )
    pairs["violations"] = (dict(ours.violations), dict(said_by_rules(dict(theirs["violations"]))))
    pairs["cheapest"] = (
        [cost for cost, _ in ours.cheapest],
        [round(float(cost) * 10_000) for cost, _ in theirs["cheapest"]],
    )
    found = [f"{name}: {ours!r} and {theirs!r}" for name, (ours, theirs) in pairs.items() if ours != theirs]
    return found + [line for name in SPREADS if (line := _apart(name, ours, theirs[name]))]


def _apart(name: str, ours: Tally, theirs: list[Any]) -> str:
    ranks, n, _ = theirs
    scale = 1 if name.endswith("_ms") else 10
    counted = ours.spreads[name].n
    if counted != n:
        return f"n of {name}: {counted} and {n}"
    for share, rank in zip(SHARES, ranks, strict=True):
        mine = quantile(ours.spreads[name].counts, share)
        if mine is None or abs(mine / scale - float(rank)) > max(0.0501, 0.0301 * abs(float(rank))):
            return f"{name} at {share}: {mine} and {rank}"
    return ""
