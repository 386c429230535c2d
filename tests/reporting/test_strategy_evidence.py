"""What returns prove: intervals, trials and courses are those of the formulas, worked out here by other means."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal
from math import sqrt
from statistics import fmean, pvariance, stdev, variance

import pytest

from reporting.strategy_benchmark import Paired, beside, paired, returns_of_closes
from reporting.strategy_evidence import POINTS, described, interval, rolling, trials, warnings
from reporting.strategy_series import Returns, Series

MONDAY = date(2025, 11, 3)


def returns(*values: float) -> Returns:
    return Returns(days=tuple(MONDAY + timedelta(days=place) for place in range(len(values))), values=values)


def drawn(n: int, seed: int = 1, mean: float = 0.001) -> Returns:
    numbers = random.Random(seed)
    return returns(*(numbers.gauss(mean, 0.01) for _ in range(n)))


def one(name: str, values: Returns) -> Series:
    return Series(strategy=name, days=(), returns=values)


def by_hand(values: tuple[float, ...]) -> tuple[float, float, float]:
    ratio = fmean(values) / stdev(values)
    spread = sqrt(pvariance(values))
    third = fmean([((each - fmean(values)) / spread) ** 3 for each in values])
    fourth = fmean([((each - fmean(values)) / spread) ** 4 for each in values])
    error = sqrt((1 - third * ratio + (fourth - 1) / 4 * ratio**2) / (len(values) - 1))
    return ratio * sqrt(252), (ratio - 1.959964 * error) * sqrt(252), (ratio + 1.959964 * error) * sqrt(252)


def test_the_interval_of_a_sharpe_ratio_is_its_standard_error_on_both_sides() -> None:
    values = drawn(250).values
    found = interval(values)
    assert (found.value, found.low, found.high) == pytest.approx(by_hand(values), abs=1e-5)


def test_an_interval_without_variance_has_a_reason() -> None:
    assert interval((0.01, 0.01, 0.01, 0.01)).reason == "all returns are alike: they have no variance"
    assert interval((0.01, 0.02)).reason == "2 returns, 3 are needed"


def test_a_rolling_ratio_is_that_of_each_window_alone_and_ends_with_the_last_day() -> None:
    values = drawn(400)
    found = rolling(values, window=63)
    assert len(found) <= POINTS
    assert found[-1][0] == values.days[-1]
    for day, each in found:
        place = values.days.index(day) + 1
        assert (each.value, each.low, each.high) == pytest.approx(by_hand(values.values[place - 63 : place]), abs=1e-5)
    assert len(rolling(drawn(64), window=63)) == 2
    assert rolling(drawn(62), window=63) == ()


def test_all_that_were_compared_are_trials_and_their_ratios_vary() -> None:
    known = [one(name, drawn(50, seed)) for name, seed in (("a", 1), ("b", 2), ("c", 3))]
    found = trials([*known, one("d", returns(0.01))])
    ratios = [fmean(each.returns.values) / stdev(each.returns.values) for each in known]
    assert found.count == 4
    assert found.variance == pytest.approx(variance(ratios))


def test_the_variance_of_a_single_ratio_is_not_known() -> None:
    tried = trials([one("a", drawn(50)), one("b", returns(0.01))])
    deflated = described(drawn(50), pnl=[], tried=tried)["deflated_sharpe_ratio"]
    assert deflated.value is None
    assert deflated.reason == "1 of 2 strategies has a Sharpe ratio: their variance is not known"
    assert "2 trials" in deflated.estimator


def test_more_trials_deflate_more() -> None:
    others = [one(str(seed), drawn(50, seed)) for seed in range(2, 12)]
    found = [
        described(drawn(50), pnl=[], tried=trials([one("a", drawn(50)), *others[:n]]))["deflated_sharpe_ratio"].value
        for n in (0, 10)
    ]
    assert found[1] < found[0]


def test_a_record_that_is_long_enough_is_not_warned_of() -> None:
    alone = trials([])
    strong = described(drawn(500, mean=0.005), pnl=[], tried=alone)
    assert warnings(strong) == ()
    weak = described(drawn(60, mean=0.0005, seed=4), pnl=[], tried=alone)
    [said] = warnings(weak)
    assert said.startswith("60 days are fewer than the minimum track record length of ")
    assert len(warnings(described(drawn(10, mean=0.002), pnl=[], tried=alone))) >= 1


def test_why_there_are_no_returns_is_the_reason_of_their_figures_and_not_of_trades() -> None:
    found = described(Returns(reason="no equity on record"), pnl=[1.0, -1.0], tried=trials([]))
    assert found["sharpe_ratio"].reason == found["max_drawdown"].reason == "no equity on record"
    assert found["win_rate"].value == 0.5


def test_a_close_after_a_long_gap_has_no_return() -> None:
    prices = {0: "100", 1: "102", 4: "51", 10: "60"}
    found = returns_of_closes({MONDAY + timedelta(day): Decimal(price) for day, price in prices.items()})
    assert found == {MONDAY + timedelta(1): pytest.approx(0.02), MONDAY + timedelta(4): pytest.approx(-0.5)}


def test_only_days_of_both_are_paired() -> None:
    found = paired(returns(0.1, 0.2, 0.3), {MONDAY: 1.0, MONDAY + timedelta(2): 3.0, MONDAY + timedelta(9): 4.0})
    assert (found.values, found.others, found.left_out) == ((0.1, 0.3), (1.0, 3.0), 1)


def test_what_moves_as_the_other_does_has_no_tracking_error() -> None:
    values = drawn(40).values
    same = Paired(days=(), values=values, others=values, left_out=0)
    found = beside(same)
    assert (found["correlation"].value, found["beta"].value) == (pytest.approx(1), pytest.approx(1))
    assert found["tracking_error"].value == 0
    opposite = beside(Paired(days=(), values=values, others=tuple(-each for each in values), left_out=0))
    assert opposite["correlation"].value == pytest.approx(-1)
    still = beside(Paired(days=(), values=values, others=(0.0,) * 40, left_out=0))
    assert still["correlation"].reason == "all returns of the other are alike: they have no variance"
    assert still["tracking_error"].value == pytest.approx(stdev(values) * sqrt(252))
    assert beside(Paired(days=(), values=(), others=(), left_out=0))["correlation"].reason == "no returns"
