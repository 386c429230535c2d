"""The order review by other means, each from the database: the loop over dictionaries that the old bot had, pandas and
polars. What rules added to the score is left out: it is only in the trail.

Each finds the same as a Tally, in units of money, basis points and milliseconds; `differences` holds them together.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orders.standing import TRADING_ZONE
from reporting.order_tally import EXTREMES, Tally, Valued, quantile

MONEY = 10_000
SHARES = (0.05, 0.5, 0.9, 0.95, 0.99)
_SENT = ("submitted", "partially_filled", "executed", "broker_rejected")
_BENCHMARKS = {"decision_slippage": "decision_price", "arrival_slippage": "arrival_price", "limit_slippage": "price"}
_SCORES = ("risk_score", "compliance_score", "performance_score")
_TIMES = ("review_ms", "broker_ms", "fill_ms", "execution_ms")
_DELAYS = {
    "review_delay": ("approval_price", "decision_price"),
    "broker_delay": ("arrival_price", "approval_price"),
    "execution": ("average_fill_price", "arrival_price"),
}

Found = dict[str, Any]


# ---- dictionaries ----------------------------------------------------------------------------------------------------


def loop() -> Found:
    """As the old bot: every order and every fill as a dictionary, and one pass over them in Python."""
    from orders.models import ExecutedOrder, StagedOrder

    corrected: set[Any] = set()
    fills: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    row: Any
    for row in list(ExecutedOrder.objects.order_by().values()):
        corrected.add(row["corrects_id"])
        fills[row["staged_order_id"]].append(row)
    counts: dict[str, Counter[Any]] = defaultdict(Counter)
    sums: dict[str, list[Any]] = defaultdict(lambda: [0, 0])
    groups: dict[str, dict[Any, list[Any]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    spreads: dict[str, list[float]] = defaultdict(list)
    costs: list[Any] = []
    order: Any
    for order in list(StagedOrder.objects.order_by().values()):
        holding = [fill for fill in fills[order["id"]] if fill["kind"] != "bust" and fill["id"] not in corrected]
        facts = _facts(order, holding)
        counts["stages"][order["status"], facts["stage"]] += 1
        for said in order["violations"].split(",") if order["violations"] else ():
            counts["violations"][said] += 1
        day = order["created_at"].astimezone(TRADING_ZONE).date()
        for name, key in (("days", day), ("strategies", order["strategy"]), ("underlyings", order["underlying"])):
            group = groups[name][key]
            group[0] += 1
            if order["notional"] is not None:
                group[1] += 1
                group[2] += order["notional"]
        if order["reviewed_by_id"] and order["reviewed_at"]:
            work = groups["reviewers"][order["reviewed_by_id"]]
            work[0] += 1
            work[1] += order["status"] == "rejected"
            work[2] += facts["review_ms"]
        for name in ("value", *_SCORES, "fill_share", "fees", "decided_value", *_DELAYS):
            if facts[name] is not None:
                sums[name][0] += facts[name]
                sums[name][1] += 1
        for name in (*_BENCHMARKS, *_TIMES):
            if facts[name] is not None:
                spreads[name].append(facts[name])
        if facts["execution"] is not None:
            costs.append(facts["execution"])
    costs.sort()
    return {
        **counts,
        **groups,
        "sums": sums,
        "spreads": {name: _ranks(sorted(values)) for name, values in spreads.items()},
        "cheapest": costs[:EXTREMES],
        "dearest": costs[: -EXTREMES - 1 : -1],
    }


def _ranks(values: Any) -> list[Any]:
    """Of a sequence that is sorted."""
    n = len(values)
    return [n, sum(values) / n, *(values[-int(-share * n // 1) - 1] for share in SHARES)]


def _facts(order: dict[str, Any], fills: list[dict[str, Any]]) -> dict[str, Any]:
    sent = order["status"] in _SENT or order["submitted_at"] is not None
    filled, average = order["filled_quantity"], order["average_fill_price"]
    first = min((fill["execution_timestamp"] for fill in fills), default=None)
    last = max((fill["execution_timestamp"] for fill in fills), default=None)
    side = -1 if order["side"] == "sell" else 1
    prices = [order[name] for name in ("decision_price", "approval_price", "arrival_price", "average_fill_price")]
    known = filled > 0 and None not in prices
    return {
        "stage": _stage(order, sent),
        "value": order["notional"],
        **{name: order[name] for name in _SCORES},
        "fill_share": min(filled / order["quantity"], 1) if sent or filled > 0 else None,
        "fees": sum(fill["fees"] for fill in fills) if fills else None,
        "decided_value": order["decision_price"] * filled if known else None,
        **{
            name: side * (order[until] - order[since]) * filled if known else None
            for name, (until, since) in _DELAYS.items()
        },
        **{
            name: None if average is None or order[price] is None else side * (average / order[price] - 1) * 10_000
            for name, price in _BENCHMARKS.items()
        },
        "review_ms": _elapsed(order["created_at"], order["reviewed_at"]),
        "broker_ms": _elapsed(order["reviewed_at"], order["submitted_at"]),
        "fill_ms": _elapsed(order["submitted_at"], first),
        "execution_ms": _elapsed(order["created_at"], last),
    }


def _stage(order: dict[str, Any], sent: bool) -> int:
    if order["filled_quantity"] > 0:
        return 5 if order["filled_quantity"] >= order["quantity"] else 4
    if sent:
        return 3
    return 1 if order["status"] == "rejected" else 2 if order["reviewed_at"] else 0


def _elapsed(since: Any, until: Any) -> float | None:
    return None if since is None or until is None else (until - since).total_seconds() * 1000


# ---- frames ----------------------------------------------------------------------------------------------------------

_NUMBERS = (
    *("notional", "quantity", "filled_quantity", "price", "decision_price", "approval_price", "arrival_price"),
    *("average_fill_price", *_SCORES),
)
_MOMENTS = ("created_at", "reviewed_at", "submitted_at")
_TEXTS = ("strategy", "underlying", "status", "side", "violations")
ORDERS_SQL = "SELECT CAST(id AS text) AS id, reviewed_by_id, {}, {}, {} FROM staged_orders".format(
    ", ".join(_MOMENTS),
    ", ".join(_TEXTS),
    ", ".join(f"CAST({name} AS double precision) AS {name}" for name in _NUMBERS),
)
FILLS_SQL = (
    "SELECT CAST(staged_order_id AS text) AS id, CAST(fees AS double precision) AS fees, execution_timestamp"
    " FROM executed_orders AS fill WHERE kind <> 'bust'"
    " AND NOT EXISTS (SELECT 1 FROM executed_orders WHERE corrects_id = fill.id)"
)


def pandas() -> Found:
    import numpy as np
    import pandas as pd
    from django.db import connection

    connection.ensure_connection()
    with warnings.catch_warnings():
        # It would rather have SQLAlchemy between.
        warnings.simplefilter("ignore", UserWarning)
        frame = pd.read_sql_query(ORDERS_SQL, connection.connection)
        fills = pd.read_sql_query(FILLS_SQL, connection.connection)
    for each, names in ((frame, _MOMENTS), (fills, ("execution_timestamp",))):
        for name in names:
            each[name] = pd.to_datetime(each[name], utc=True, format="ISO8601")
    by_order = fills.groupby("id").agg(
        fees=("fees", "sum"), first_at=("execution_timestamp", "min"), last_at=("execution_timestamp", "max")
    )
    frame = frame.join(by_order, on="id")
    frame["day"] = frame.created_at.dt.tz_convert("America/New_York").dt.date
    sent = frame.status.isin(_SENT) | frame.submitted_at.notna()
    filled = frame.filled_quantity > 0
    frame["stage"] = np.select(
        [frame.filled_quantity >= frame.quantity, filled, sent, frame.status == "rejected", frame.reviewed_at.notna()],
        [5, 4, 3, 1, 2],
        0,
    )
    sign = np.where(frame.side == "sell", -1, 1)
    prices = frame[["decision_price", "approval_price", "arrival_price", "average_fill_price"]]
    known = filled & prices.notna().all(axis=1)
    frame["value"] = frame.notional
    frame["fill_share"] = (frame.filled_quantity / frame.quantity).clip(upper=1).where(sent | filled)
    frame["decided_value"] = (frame.decision_price * frame.filled_quantity).where(known)
    for name, (until, since) in _DELAYS.items():
        frame[name] = (sign * (frame[until] - frame[since]) * frame.filled_quantity).where(known)
    for name, price in _BENCHMARKS.items():
        frame[name] = sign * (frame.average_fill_price / frame[price] - 1) * 10_000
    for name, since, until in zip(
        _TIMES, (*_MOMENTS, "created_at"), (*_MOMENTS[1:], "first_at", "last_at"), strict=True
    ):
        frame[name] = (frame[until] - frame[since]).dt.total_seconds() * 1000
    valued = {
        name: frame.groupby(column).value.agg(["size", "count", "sum"])
        for name, column in (("days", "day"), ("strategies", "strategy"), ("underlyings", "underlying"))
    }
    decided = frame[frame.reviewed_by_id.notna() & frame.reviewed_at.notna()]
    work = decided.assign(rejected=decided.status == "rejected").groupby("reviewed_by_id")
    work = work.agg(n=("id", "size"), rejected=("rejected", "sum"), waited=("review_ms", "sum"))
    said = frame.violations[frame.violations != ""].str.split(",").explode()
    spreads = {name: frame[name].dropna() for name in (*_BENCHMARKS, *_TIMES)}
    return {
        "stages": dict(frame.groupby(["status", "stage"]).size()),
        "violations": dict(said.value_counts()),
        **{
            name: {key: list(row) for key, row in zip(each.index, each.to_numpy(), strict=True)}
            for name, each in valued.items()
        },
        "reviewers": {int(key): list(row) for key, row in zip(work.index, work.to_numpy(), strict=True)},
        "sums": {
            name: [frame[name].sum(), frame[name].count()]
            for name in ("value", *_SCORES, "fill_share", "fees", "decided_value", *_DELAYS)
        },
        "spreads": {
            name: [len(each), each.mean(), *np.quantile(each.to_numpy(), SHARES, method="inverted_cdf")]
            for name, each in spreads.items()
        },
        "cheapest": list(frame.execution.nsmallest(EXTREMES)),
        "dearest": list(frame.execution.nlargest(EXTREMES)),
    }


def polars(url: str) -> Found:
    """With connectorx, which reads columns straight into Arrow."""
    import polars as pl

    frame, fills = (pl.read_database_uri(sql, url, engine="connectorx") for sql in (ORDERS_SQL, FILLS_SQL))
    frame, fills = _with_moments(frame, _MOMENTS), _with_moments(fills, ("execution_timestamp",))
    by_order = fills.group_by("id").agg(
        pl.col("fees").sum(),
        pl.col("execution_timestamp").min().alias("first_at"),
        pl.col("execution_timestamp").max().alias("last_at"),
    )
    c = pl.col
    filled, sent = c("filled_quantity") > 0, c("status").is_in(_SENT) | c("submitted_at").is_not_null()
    prices = [c(name).is_not_null() for name in ("decision_price", "approval_price", "arrival_price")]
    known = filled & c("average_fill_price").is_not_null() & prices[0] & prices[1] & prices[2]
    sign = pl.when(c("side") == "sell").then(-1).otherwise(1)
    moments = zip(_TIMES, (*_MOMENTS, "created_at"), (*_MOMENTS[1:], "first_at", "last_at"), strict=True)
    frame = frame.join(by_order, on="id", how="left").with_columns(
        c("created_at").dt.convert_time_zone("America/New_York").dt.date().alias("day"),
        pl.when(c("filled_quantity") >= c("quantity"))
        .then(5)
        .when(filled)
        .then(4)
        .when(sent)
        .then(3)
        .when(c("status") == "rejected")
        .then(1)
        .when(c("reviewed_at").is_not_null())
        .then(2)
        .otherwise(0)
        .alias("stage"),
        c("notional").alias("value"),
        pl.when(sent | filled).then((c("filled_quantity") / c("quantity")).clip(upper_bound=1)).alias("fill_share"),
        pl.when(known).then(c("decision_price") * c("filled_quantity")).alias("decided_value"),
        *(
            pl.when(known).then(sign * (c(until) - c(since)) * c("filled_quantity")).alias(name)
            for name, (until, since) in _DELAYS.items()
        ),
        *(
            (sign * (c("average_fill_price") / c(price) - 1) * 10_000).alias(name)
            for name, price in _BENCHMARKS.items()
        ),
        *((c(until) - c(since)).dt.total_milliseconds().alias(name) for name, since, until in moments),
    )
    valued = {
        name: frame.group_by(column).agg(pl.len(), c("value").count().alias("known"), c("value").sum()).rows()
        for name, column in (("days", "day"), ("strategies", "strategy"), ("underlyings", "underlying"))
    }
    decided = frame.filter(c("reviewed_by_id").is_not_null() & c("reviewed_at").is_not_null()).group_by(
        "reviewed_by_id"
    )
    said = frame.filter(c("violations") != "").select(c("violations").str.split(",").explode().alias("said"))
    sums = ("value", *_SCORES, "fill_share", "fees", "decided_value", *_DELAYS)
    totals = frame.select(c(sums).sum()).row(0)
    spreads = (*_BENCHMARKS, *_TIMES)
    return {
        "stages": {(status, stage): n for status, stage, n in frame.group_by("status", "stage").len().rows()},
        "violations": dict(said.group_by("said").len().rows()),
        **{name: {key: list(row) for key, *row in rows} for name, rows in valued.items()},
        "reviewers": {
            key: row
            for key, *row in decided.agg(
                pl.len(), (c("status") == "rejected").sum().alias("rejected"), c("review_ms").sum()
            ).rows()
        },
        "sums": dict(zip(sums, zip(totals, frame.select(c(sums).count()).row(0), strict=True), strict=True)),
        "spreads": {name: _ranks(frame[name].drop_nulls().sort()) for name in spreads},
        "cheapest": frame["execution"].drop_nulls().bottom_k(EXTREMES).sort().to_list(),
        "dearest": frame["execution"].drop_nulls().top_k(EXTREMES).sort(descending=True).to_list(),
    }


def _with_moments(frame: Any, names: Iterable[str]) -> Any:
    """SQLite keeps them as texts in UTC."""
    import polars as pl

    texts = [name for name in names if frame.schema[name] == pl.String]
    return frame.with_columns(pl.col(texts).str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_zone="UTC", time_unit="us"))


def named(url: str) -> dict[str, Callable[[], Found]]:
    return {"loop": loop, "pandas": pandas, "polars": lambda: polars(url)}


# ---- held against ours -----------------------------------------------------------------------------------------------


def differences(ours: Tally, theirs: Found) -> list[str]:
    """What the two don't agree on: counts to the last digit, sums as well as floats keep them, quantiles as a Tally."""
    by_day = {
        day: Valued(n=each.n, known=each.known["value"], value=each.total["value"]) for day, each in ours.days.items()
    }
    groups: dict[str, tuple[Mapping[Any, Any], Mapping[Any, Any]]] = {
        "stages": ({key: [n] for key, n in ours.stages.items()}, {key: [n] for key, n in theirs["stages"].items()}),
        "violations": (
            {said: [n] for said, n in ours.violations.items()},
            {said: [n] for said, n in theirs["violations"].items()},
        ),
        "days": (_valued(by_day), theirs["days"]),
        "strategies": (_valued(ours.strategies), theirs["strategies"]),
        "underlyings": (_valued(ours.underlyings), theirs["underlyings"]),
        "reviewers": (
            {key: [work.decided, work.rejected, work.waited_ms] for key, work in ours.reviewers.items()},
            theirs["reviewers"],
        ),
        "sums": (
            {
                name: [ours.sums.total[name] / (100 if name in _SCORES else MONEY), ours.sums.known[name]]
                for name in theirs["sums"]
            },
            theirs["sums"],
        ),
        "extremes": (
            {"least": [cost / MONEY for cost, _ in ours.cheapest], "most": [cost / MONEY for cost, _ in ours.dearest]},
            {"least": theirs["cheapest"], "most": theirs["dearest"]},
        ),
    }
    found = [f"{name}: {line}" for name, (mine, other) in groups.items() for line in _unlike(mine, other)]
    return found + [line for name, ranks in theirs["spreads"].items() if (line := _apart(name, ours, ranks))]


def _valued(valued: Mapping[Any, Valued]) -> dict[Any, list[float]]:
    return {name: [each.n, each.known, each.value / MONEY] for name, each in valued.items()}


def _unlike(ours: Mapping[Any, Sequence[float]], theirs: Mapping[Any, Sequence[Any]]) -> list[str]:
    """Ours are stored in ten-thousandths, times to three digits; each order may be off by half of one."""
    if ours.keys() != theirs.keys():
        return [f"other groups: {set(ours) ^ set(theirs)}"[:200]]
    pairs = ((key, mine, float(other)) for key in ours for mine, other in zip(ours[key], theirs[key], strict=True))
    return [f"{key}: {mine} and {other}" for key, mine, other in pairs if abs(mine - other) > 0.01 + 5e-4 * abs(other)]


def _apart(name: str, ours: Tally, ranks: list[Any]) -> str:
    scale, spread = 1 if name.endswith("_ms") else 10, ours.spreads[name]
    n, mean, *found = (float(each) for each in ranks)
    if spread.n != n:
        return f"n of {name}: {spread.n} and {n}"
    if abs(spread.total / n / scale - mean) > max(0.01, 0.001 * abs(mean)):
        return f"mean of {name}: {spread.total / n / scale} and {mean}"
    for share, rank in zip(SHARES, found, strict=True):
        mine = quantile(spread.counts, share)
        if mine is None or abs(mine / scale - rank) > max(0.0501, 0.0301 * abs(rank)):
            return f"{name} at {share}: {mine} and {rank}"
    return ""
