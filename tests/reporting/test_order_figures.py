"""What the sums of an order review come to: quantiles, the waterfall, comparisons, and what is undefined."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from orders.order_facts import Stage
from reporting import execution_figures, order_figures
from reporting.execution_figures import duration
from reporting.order_figures import compared
from reporting.order_tally import SUMMED, Overdue, Refusals, Spread, Sums, Tally, Valued, Workload, quantile, reached

D = Decimal


def link(**lookups: object) -> str:
    return "&".join(f"{name}={value}" for name, value in lookups.items())


def link_of(model: str, **lookups: object) -> str:
    return f"{model}: {link(**lookups)}"


def sums(n: int = 4, **totals: tuple[int, int]) -> Sums:
    """`totals` as (sum, number of known ones)."""
    return Sums(
        n=n,
        total={name: totals.get(name, (0, 0))[0] for name in SUMMED},
        known={name: totals.get(name, (0, 0))[1] for name in SUMMED},
    )


def tally(**changes: Any) -> Tally:
    return Tally(**changes)


@pytest.mark.parametrize(
    ("counts", "share", "found"),
    [
        ({}, 0.5, None),
        ({7: 1}, 0.05, 7),
        ({7: 1}, 0.99, 7),
        ({1: 1, 2: 1}, 0.5, 1),
        ({1: 1, 2: 1}, 0.51, 2),
        ({-5: 19, 0: 80, 9: 1}, 0.05, -5),
        ({-5: 19, 0: 80, 9: 1}, 0.99, 0),
        ({-5: 19, 0: 80, 9: 2}, 0.99, 9),
    ],
)
def test_quantile_is_the_least_value_with_that_share_at_or_below(
    counts: dict[int, int], share: float, found: int | None
) -> None:
    assert quantile(counts, share) == found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.85, "850 ms"),
        (1, "1.0 s"),
        (119, "119.0 s"),
        (120, "2.0 min"),
        (7200, "2.0 h"),
        (172_800, "2.0 d"),
    ],
)
def test_duration_is_in_the_unit_that_matters(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_stages_include_those_before_them_and_tell_who_came_no_further() -> None:
    stages = {
        ("pending_review", Stage.STAGED): 2,
        ("cancelled", Stage.STAGED): 3,
        ("rejected", Stage.DECIDED): 1,
        ("cancelled", Stage.APPROVED): 1,
        ("executed", Stage.FILLED): 3,
    }
    assert [reached(stages, stage) for stage in Stage] == [10, 5, 4, 3, 3, 3]
    rows = order_figures.funnel(tally(stages=stages), link)
    assert [(row.n, [(each.n, each.status_text) for each in row.ended], row.share_text) for row in rows] == [
        (10, [(3, "cancelled"), (2, "pending review")], "100.0 %"),
        (5, [(1, "rejected")], "50.0 %"),
        (4, [(1, "cancelled")], "40.0 %"),
        (3, [], "30.0 %"),
        (3, [], "30.0 %"),
        (3, [(3, "executed")], "30.0 %"),
    ]


def test_parts_of_the_waterfall_begin_where_the_one_before_ended() -> None:
    known = sums(
        decided_value=(1_000_000, 2),
        review_delay=(2_000, 2),
        broker_delay=(-3_000, 2),
        execution=(5_000, 2),
        opportunity=(2_500, 2),
        fees=(1_000, 3),
    )
    rows = execution_figures.shortfall(known, link)
    assert [(row.label, row.money, row.bps, row.n) for row in rows] == [
        ("Review delay", D("0.20"), 20.0, 2),
        ("Broker delay", D("-0.30"), -30.0, 2),
        ("Execution", D("0.50"), 50.0, 2),
        # Of as many orders, and of others: a share of the value of what was filled would be none of its own.
        ("Opportunity", D("0.25"), None, 2),
        # Of one order more than has all its prices.
        ("Fees", D("0.10"), None, 3),
        ("Shortfall", D("0.75"), None, None),
    ]
    # From -0.10, the lowest point, to 0.75.
    assert [(row.x, row.width) for row in rows] == [
        (11.76, 23.53),
        (0.0, 35.29),
        (0.0, 58.82),
        (58.82, 29.41),
        (88.24, 11.76),
        (11.76, 88.24),
    ]
    assert sum(row.money or 0 for row in rows[:-1]) == rows[-1].money
    assert [row.url for row in rows] == [
        *(
            f"facts__{name}__isnull=False"
            for name in ("review_delay", "broker_delay", "execution", "opportunity", "fees")
        ),
        "",
    ]


def test_fees_have_basis_points_where_they_are_of_the_orders_that_have_all_prices() -> None:
    known = sums(decided_value=(1_000_000, 2), review_delay=(0, 2), broker_delay=(0, 2), execution=(0, 2))
    same = dataclasses.replace(known, total={**known.total, "fees": 1_000}, known={**known.known, "fees": 2})
    assert {row.label: row.bps for row in execution_figures.shortfall(same, link)}["Fees"] == 10.0


def test_the_rest_that_was_given_up_costs_where_nothing_was_filled() -> None:
    rows = execution_figures.shortfall(sums(opportunity=(-30_000, 1)), link)
    assert [(row.label, row.money, row.n_text, row.tone) for row in rows] == [
        ("Opportunity", D("-3.00"), "1", "good"),
        ("Shortfall", D("-3.00"), "", "accent"),
    ]


def test_slippage_is_told_in_basis_points_and_in_percent_of_the_spread() -> None:
    found = tally(
        spreads={
            **Tally().spreads,
            "arrival_slippage": Spread(total=30, counts={15: 2}),
            "spread_slippage": Spread(total=1250, counts={-250: 1, 500: 3}),
        }
    )
    rows = {row.label: row for row in execution_figures.slippages(found, link)}
    assert (rows["Arrival"].unit, rows["Arrival"].mean, rows["Arrival"].n) == ("bps", 1.5, 2)
    quoted = rows["Middle of the quote at arrival"]
    assert (quoted.unit, quoted.n, quoted.url) == ("% of spread", 4, "facts__spread_slippage__isnull=False")
    assert (quoted.mean, quoted.p5, quoted.p50, quoted.p99) == (31.25, -25.0, 50.0, 50.0)
    assert quoted.cells_text == ("+31.2", "-25.0", "+50.0", "+50.0", "+50.0", "+50.0")


def test_without_a_fill_nothing_is_made_up() -> None:
    assert execution_figures.shortfall(sums(), link) == ()
    assert execution_figures.fill_rate(sums()) is None
    assert execution_figures.shortfall_bps(sums()) is None
    rows = (*execution_figures.slippages(tally(), link), *execution_figures.latencies(tally(), link))
    assert all(row.reason.startswith("n/a: ") and row.url == "" and row.mean is None for row in rows)


def test_a_decision_worth_nothing_has_no_basis_points() -> None:
    assert execution_figures.shortfall_bps(sums(decided_value=(0, 1), execution=(5, 1))) is None


def test_change_against_the_period_before_has_its_sign_or_its_reason() -> None:
    rows = compared(sums(3, value=(30_000, 2)), sums(5, value=(50_000, 5), fill_share=(5_000, 1)), link, link)
    told = {row.label: (row.now_text, row.before_text, row.change_text) for row in rows}
    assert told["Orders"] == ("3", "5", "−2")
    assert told["Value, sum of notionals"] == ("3.00", "5.00", "−2.00")
    assert told["Fill rate, mean"] == ("n/a", "50.0 %", "n/a: undefined in one of the two periods")


def test_the_smallest_notionals_are_one_row() -> None:
    valued = {f"S{number:02d}": Valued(n=1, known=1, value=10_000 * (100 - number)) for number in range(25)}
    rows = order_figures.notional(valued, link, column="strategy")
    assert len(rows) == order_figures.NOTIONAL_ROWS + 1
    assert (rows[0].label, rows[0].value, rows[0].width, rows[0].url) == ("S00", D("100.00"), 25.64, "strategy=S00")
    assert (rows[-1].label, rows[-1].orders) == ("5 others", 5)
    assert rows[-1].url == "strategy__in=S20,S21,S22,S23,S24"
    assert sum(row.value or 0 for row in rows) == sum(each.value for each in valued.values()) / D(10_000)


@pytest.mark.parametrize("names", [[f"{number:04d}" for number in range(1000)], [*map(str, range(20)), "of, all"]])
def test_others_that_an_address_can_not_say_lead_nowhere(names: list[str]) -> None:
    valued = {name: Valued(n=1, known=1, value=1) for name in names}
    assert order_figures.notional(valued, link, column="strategy")[-1].url == ""


def test_what_is_not_known_is_said_beside_the_sum() -> None:
    rows = order_figures.notional(
        {"": Valued(n=3, known=2, value=5_000), "x": Valued(n=1, known=0, value=0)}, link, column="x"
    )
    assert [(row.label, row.value_text) for row in rows] == [
        ("none stated", "0.50 (without 1 not known)"),
        ("x", "n/a"),
    ]


def test_rules_come_by_points_then_by_blocks() -> None:
    judged = Sums(
        n=4,
        known={**dict.fromkeys(SUMMED, 0), "risk_score": 4},
        points={**Sums().points, "PRICE_COLLAR": 800, "ORDER_RATE": 1600},
    )
    found = tally(
        days={date(2025, 11, 3): judged},
        violations={"EXPIRY:block": 2, "PRICE_COLLAR:warn": 2, "PRICE_COLLAR:block": 1},
        overrides={("EXPIRY", 7): 1, ("EXPIRY", 8): 2},
    )
    rows = order_figures.rules(found, link, link_of)
    assert [(row.code, row.mean_points, row.blocks, row.warns, row.overrides) for row in rows] == [
        ("ORDER_RATE", 4.0, 0, 0, 0),
        ("PRICE_COLLAR", 2.0, 1, 2, 0),
        ("EXPIRY", None, 2, 0, 3),
    ]
    assert [row.url for row in rows] == ["facts__points_order_rate__gt=0", "facts__points_price_collar__gt=0", ""]
    expiry = rows[2]
    assert (expiry.blocks_url, expiry.overrides_url) == (
        "facts__violations__contains=EXPIRY:block",
        "ruleoverride: code__exact=EXPIRY",
    )


def test_overrides_are_told_by_rule_and_person() -> None:
    found = tally(overrides={("EXPIRY", 7): 1, ("EXPIRY", 8): 2, ("STALE_QUOTE", None): 2})
    rows = order_figures.overrides(found, {7: "ann", 8: "bob"}, link_of)
    assert [(row.code, row.name_text, row.n_text) for row in rows] == [
        ("EXPIRY", "bob", "2"),
        ("STALE_QUOTE", "not known", "2"),
        ("EXPIRY", "ann", "1"),
    ]
    assert rows[0].url == "ruleoverride: code__exact=EXPIRY&given_by__id__exact=8"
    assert order_figures.overridden(found) == {"EXPIRY": 3, "STALE_QUOTE": 2}


def test_who_was_refused_is_among_those_who_decided() -> None:
    found = tally(
        reviewers={7: Workload(decided=3, approved=2, rejected=1, waited_ms=180_000)},
        refusals={7: Refusals(n=1, own=0), 8: Refusals(n=4, own=2)},
    )
    rows = order_figures.reviewers(found, {7: "ann", 8: "bob"}, link, link_of)
    assert [(row.name, row.decided, row.mean_text, row.refused, row.own) for row in rows] == [
        ("ann", 3, "60.0 s", 1, 0),
        ("bob", 0, "n/a", 4, 2),
    ]
    assert (rows[1].mean_minutes, rows[0].mean_minutes) == (None, 1.0)
    assert rows[1].own_url == "refuseddecision: actor__id__exact=8&own__exact=True"


def test_exceptions_are_those_that_there_are_each_with_its_reason() -> None:
    judged = dataclasses.replace(
        sums(9, risk_score=(0, 8), value=(0, 7), decided_value=(0, 1), opportunity=(0, 1)), overfilled=1
    )
    found = tally(
        days={date(2025, 11, 3): judged},
        overdue=Overdue(n=2),
        stages={
            ("executed", Stage.FILLED): 3,
            ("cancelled", Stage.FILLED_PARTLY): 2,
            ("broker_rejected", Stage.SUBMITTED): 1,
            ("rejected", Stage.DECIDED): 1,
            ("submitted", Stage.SUBMITTED): 2,
        },
        spreads={**Tally().spreads, "limit_slippage": Spread(counts={-5: 3, 0: 1, 1: 2, 70: 1})},
    )
    rows = order_figures.exceptions(found, link, now_text="now", bad=1, unmatched=(4, "/unmatched"))
    assert [(row.label.partition(",")[0].partition(":")[0], row.n, row.tone) for row in rows] == [
        ("filled beyond what was ordered", 1, "bad"),
        ("filled at a worse price than their limit", 3, "bad"),
        ("refused by the broker after the desk had let them through", 1, "bad"),
        ("fills of brokers that no order was found for", 4, "bad"),
        ("given as dictionaries that can't be read", 1, "bad"),
        ("open", 2, "warn"),
        ("never judged by the rules", 1, "warn"),
        ("without a known notional", 2, "warn"),
        ("filled", 4, "muted"),
        ("given up at the broker", 2, "muted"),
    ]
    nothing = order_figures.exceptions(tally(), link, now_text="now", bad=0, unmatched=(0, ""))
    assert nothing == ()
