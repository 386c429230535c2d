"""What holds of the figures of strategies whatever the returns are."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reporting.performance import (
    InvalidInput,
    alpha_beta,
    annual_return,
    annual_volatility,
    average_loss,
    average_win,
    conditional_value_at_risk,
    deflated_sharpe_ratio,
    describe,
    downside_risk,
    drawdowns,
    expectancy,
    expected_best_sharpe,
    kurtosis,
    longest_streaks,
    max_drawdown,
    minimum_track_record_length,
    omega_ratio,
    probabilistic_sharpe_ratio,
    profit_factor,
    recovery_days,
    sharpe_ratio,
    skewness,
    sortino_ratio,
    stability,
    total_return,
    underwater,
    value_at_risk,
    win_rate,
)

lasting = settings(deadline=None)
# In millionths, from a loss of 90 % to a gain of 200 %.
EACH = st.integers(-900_000, 2_000_000).map(lambda millionths: millionths / 1e6)
RETURNS = st.lists(EACH, min_size=1, max_size=40)
SEVERAL = st.lists(EACH, min_size=4, max_size=40).filter(lambda values: max(values) - min(values) > 1e-3)
PNL = st.lists(st.integers(-500, 500), min_size=1, max_size=40)
CUTOFFS = st.integers(1, 99).map(lambda percent: percent / 100)
RATIOS = st.integers(-3000, 3000).map(lambda thousandths: thousandths / 1000)
# Moments that distributions have.
MOMENTS = st.tuples(st.integers(-30, 30), st.integers(0, 100)).map(
    lambda tenths: (tenths[0] / 10, (tenths[0] / 10) ** 2 + 1.1 + tenths[1] / 10)
)
ANYTHING = st.floats(allow_nan=False, allow_infinity=False)
close = pytest.approx


def known(value: float | None) -> float:
    assert value is not None
    return value


@lasting
@given(RETURNS)
def test_compounding_is_the_product(returns: list[float]) -> None:
    exact = math.prod((1 + Fraction(each) for each in returns), start=Fraction(1)) - 1
    assert total_return(returns) == close(float(exact), rel=1e-11, abs=1e-11)
    year = annual_return(returns, periods_per_year=len(returns))
    assert year == close(known(total_return(returns)), rel=1e-12, abs=1e-15)


@lasting
@given(SEVERAL, st.integers(1, 1000).map(lambda each: each / 100))
def test_risk_grows_with_the_size_of_returns_and_ratios_do_not(returns: list[float], size: float) -> None:
    larger = [size * each for each in returns]
    assert annual_volatility(larger) == close(size * known(annual_volatility(returns)))
    assert downside_risk(larger) == close(size * known(downside_risk(returns)), abs=1e-12)
    assert value_at_risk(larger) == close(size * known(value_at_risk(returns)), abs=1e-12)
    assert conditional_value_at_risk(larger) == close(size * known(conditional_value_at_risk(returns)), abs=1e-12)
    assert sharpe_ratio(larger) == close(known(sharpe_ratio(returns)), abs=1e-9)
    assert skewness(larger) == close(known(skewness(returns)), abs=1e-9)
    assert kurtosis(larger) == close(known(kurtosis(returns)), abs=1e-9)
    if sortino_ratio(returns) is not None and min(returns) * size < -1e-9:
        assert sortino_ratio(larger) == close(known(sortino_ratio(returns)), abs=1e-9)
        assert omega_ratio(larger) == close(known(omega_ratio(returns)), abs=1e-9)


@lasting
@given(SEVERAL, EACH)
def test_returns_turned_over_turn_their_figures_over(returns: list[float], free: float) -> None:
    turned = [-each for each in returns]
    assert sharpe_ratio(turned, risk_free=-free) == close(-known(sharpe_ratio(returns, risk_free=free)), abs=1e-9)
    assert annual_volatility(turned) == close(known(annual_volatility(returns)))
    assert skewness(turned) == close(-known(skewness(returns)), abs=1e-9)
    assert kurtosis(turned) == close(known(kurtosis(returns)))
    assert value_at_risk(turned, cutoff=0.95) == close(-known(value_at_risk(returns, cutoff=0.05)), abs=1e-12)
    gain, loss = omega_ratio(returns), omega_ratio(turned)
    if gain and loss:
        assert gain * loss == close(1)


@lasting
@given(SEVERAL, st.randoms(use_true_random=False))
def test_the_order_of_returns_matters_to_drawdowns_and_stability_alone(returns: list[float], random: Any) -> None:
    shuffled = random.sample(returns, len(returns))
    one, other = describe(returns), describe(shuffled)
    for name in one.keys() - {"max_drawdown", "drawdowns", "calmar_ratio", "stability"}:
        same = one[name].value if one[name].value is None else close(one[name].value, rel=1e-9, abs=1e-9)
        assert other[name].value == same, name


@lasting
@given(SEVERAL, EACH)
def test_ratios_have_the_sign_of_what_was_earned_above_what_was_required(returns: list[float], required: float) -> None:
    above = math.fsum(returns) / len(returns) - required
    assume(abs(above) > 1e-9)
    omega = omega_ratio(returns, required_return=required)
    sortino = sortino_ratio(returns, required_return=required)
    assert (known(sharpe_ratio(returns, risk_free=required)) > 0) == (above > 0)
    assert (omega is None) == (sortino is None) == (min(returns) >= required)
    if omega is not None and sortino is not None:
        assert (omega > 1) == (sortino > 0) == (above > 0)


@lasting
@given(RETURNS, CUTOFFS)
def test_the_mean_of_the_tail_is_no_better_than_its_edge(returns: list[float], cutoff: float) -> None:
    edge, tail = known(value_at_risk(returns, cutoff=cutoff)), known(conditional_value_at_risk(returns, cutoff=cutoff))
    assert min(returns) - 1e-12 <= tail <= edge + 1e-12
    assert edge <= max(returns)
    assert tail <= math.fsum(returns) / len(returns) + 1e-12


@lasting
@given(RETURNS, CUTOFFS, CUTOFFS)
def test_a_rarer_loss_is_no_smaller(returns: list[float], one: float, other: float) -> None:
    rarer, commoner = sorted((one, other))
    assert known(value_at_risk(returns, cutoff=rarer)) <= known(value_at_risk(returns, cutoff=commoner)) + 1e-12
    assert known(conditional_value_at_risk(returns, cutoff=rarer)) <= (
        known(conditional_value_at_risk(returns, cutoff=commoner)) + 1e-12
    )


@lasting
@given(RETURNS)
def test_a_drawdown_is_at_least_the_worst_return_and_at_most_everything(returns: list[float]) -> None:
    deepest = known(max_drawdown(returns))
    assert -1 <= deepest <= 0
    assert deepest <= min(0.0, *returns) + 1e-12
    depths = underwater(returns)
    assert depths is not None
    assert deepest == close(min(depths), abs=1e-12)
    assert len(depths) == len(returns) + 1
    # By products, as wealth is told.
    wealth = [math.prod((1 + each for each in returns[:count]), start=1.0) for count in range(len(returns) + 1)]
    assert depths == close([now / max(wealth[: place + 1]) - 1 for place, now in enumerate(wealth)], abs=1e-9)


@lasting
@given(RETURNS)
def test_drawdowns_follow_each_other_and_only_the_last_may_be_open(returns: list[float]) -> None:
    found, depths = drawdowns(returns), underwater(returns)
    assert found is not None
    assert depths is not None
    for each in found:
        assert depths[each.peak] == close(0, abs=1e-12)
        assert depths[each.trough] == each.depth == min(depths[each.peak : each.end])
        assert each.peak < each.trough < (len(depths) if each.end is None else each.end)
    for before, after in pairwise(found):
        assert before.end is not None
        assert before.end <= after.peak
    under = {place for each in found for place in range(each.peak + 1, len(depths) if each.end is None else each.end)}
    assert under == {place for place, depth in enumerate(depths) if depth < -1e-12}


@lasting
@given(st.lists(st.integers(1, 50), min_size=2, max_size=30))
def test_recovery_is_counted_from_the_low_to_the_day_of_the_old_high(equity: list[int]) -> None:
    days = recovery_days(equity)
    highs = [max(equity[: place + 1]) for place in range(len(equity))]
    depths = [Fraction(value, high) - 1 for value, high in zip(equity, highs, strict=True)]
    low = depths.index(min(depths))
    back = [place for place in range(low, len(equity)) if equity[place] >= highs[low]]
    assert days == (back[0] - low if depths[low] < 0 and back else None)


@lasting
@given(SEVERAL)
def test_moments_are_those_of_a_distribution_and_know_no_place(returns: list[float]) -> None:
    assert known(kurtosis(returns)) >= known(skewness(returns)) ** 2 + 1 - 1e-9
    moved = [each + 0.25 for each in returns]
    assert skewness(moved) == close(known(skewness(returns)), abs=1e-9)
    assert annual_volatility(moved) == close(known(annual_volatility(returns)))


@lasting
@given(SEVERAL)
def test_stability_is_a_share(returns: list[float]) -> None:
    moves = any(returns[1:])
    assert (stability(returns) is not None) == moves
    assert 0 <= (stability(returns) or 0) <= 1


@lasting
@given(EACH.filter(bool), st.integers(3, 60))
def test_the_same_return_again_and_again_has_no_risk_and_a_straight_line(each: float, n: int) -> None:
    returns = [each] * n
    assert annual_volatility(returns) == 0
    assert sharpe_ratio(returns) is None
    assert 1 - 1e-9 <= known(stability(returns)) <= 1


@lasting
@given(st.lists(EACH.filter(lambda each: each < 0), min_size=1, max_size=10))
def test_a_drawdown_ends_where_the_high_is_reached_but_for_rounding(losses: list[float]) -> None:
    gains = [1 / (1 + each) - 1 for each in losses]
    found = drawdowns([*losses, *gains, 0.0])
    assert found is not None
    assert [(each.peak, each.trough, each.end) for each in found] == [(0, len(losses), 2 * len(losses))]


@lasting
@given(SEVERAL, st.integers(-300, 300).map(lambda each: each / 100), st.integers(-9, 9).map(lambda each: each / 1000))
def test_a_line_beside_its_benchmark_has_its_slope_and_its_height(
    benchmark: list[float], slope: float, height: float
) -> None:
    alpha, beta = alpha_beta([height + slope * each for each in benchmark], benchmark, periods_per_year=1)
    assert beta == close(slope, abs=1e-9)
    assert alpha == close(height, abs=1e-9)


@lasting
@given(RATIOS, RATIOS, st.integers(2, 5000), MOMENTS)
def test_a_probability_lies_between_0_and_1_and_is_a_half_at_the_benchmark(
    sharpe: float, benchmark: float, n: int, moments: tuple[float, float]
) -> None:
    shape = {"n": n, "skewness": moments[0], "kurtosis": moments[1]}
    probability = known(probabilistic_sharpe_ratio(sharpe=sharpe, benchmark_sharpe=benchmark, **shape))
    assert 0 <= probability <= 1
    assert probability == 0.5 or (probability > 0.5) == (sharpe > benchmark)
    assert probabilistic_sharpe_ratio(sharpe=sharpe, benchmark_sharpe=sharpe, **shape) == 0.5


@lasting
@given(RATIOS, RATIOS, st.integers(2, 5000), st.integers(0, 5000), MOMENTS)
def test_more_returns_make_what_is_seen_surer(
    sharpe: float, benchmark: float, n: int, more: int, moments: tuple[float, float]
) -> None:
    given_ = {"sharpe": sharpe, "benchmark_sharpe": benchmark, "skewness": moments[0], "kurtosis": moments[1]}
    few = known(probabilistic_sharpe_ratio(n=n, **given_))
    many = known(probabilistic_sharpe_ratio(n=n + more, **given_))
    assert abs(many - 0.5) >= abs(few - 0.5)


@lasting
@given(RATIOS, RATIOS, RATIOS, st.integers(2, 5000), MOMENTS)
def test_a_higher_benchmark_is_less_surely_beaten(
    sharpe: float, one: float, other: float, n: int, moments: tuple[float, float]
) -> None:
    shape = {"sharpe": sharpe, "n": n, "skewness": moments[0], "kurtosis": moments[1]}
    low, high = sorted((one, other))
    easy = known(probabilistic_sharpe_ratio(benchmark_sharpe=low, **shape))
    assert known(probabilistic_sharpe_ratio(benchmark_sharpe=high, **shape)) <= easy


@lasting
@given(RATIOS, st.integers(2, 5000), st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 400), MOMENTS)
def test_the_more_was_tried_the_less_the_best_of_it_proves(
    sharpe: float, n: int, one: int, other: int, variance: int, moments: tuple[float, float]
) -> None:
    fewer, more = sorted((one, other))
    shape = {"sharpe": sharpe, "n": n, "skewness": moments[0], "kurtosis": moments[1]}
    spread = variance / 100
    assert (
        0
        <= expected_best_sharpe(trials=fewer, sharpe_variance=spread)
        <= (expected_best_sharpe(trials=more, sharpe_variance=spread))
    )
    of_fewer = known(deflated_sharpe_ratio(**shape, trials=fewer, sharpe_variance=spread))
    of_more = known(deflated_sharpe_ratio(**shape, trials=more, sharpe_variance=spread))
    assert of_more <= of_fewer <= known(probabilistic_sharpe_ratio(**shape, benchmark_sharpe=0))


@lasting
@given(RATIOS, RATIOS, MOMENTS, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_a_track_record_of_the_least_length_is_just_sure_enough(
    sharpe: float, benchmark: float, moments: tuple[float, float], confidence: float
) -> None:
    given_ = {"sharpe": sharpe, "benchmark_sharpe": benchmark, "skewness": moments[0], "kurtosis": moments[1]}
    length = minimum_track_record_length(**given_, confidence=confidence)
    assert (length is None) == (sharpe <= benchmark)
    if length is not None:
        enough = max(2, math.ceil(length))
        assert known(probabilistic_sharpe_ratio(**given_, n=enough)) >= confidence - 1e-9
        if enough > 2:
            assert known(probabilistic_sharpe_ratio(**given_, n=enough - 1)) <= confidence + 1e-9


@lasting
@given(PNL)
def test_trades_add_up(pnl: list[int]) -> None:
    won, lost = [each for each in pnl if each > 0], [each for each in pnl if each < 0]
    assert (win_rate(pnl) is None) == (not won and not lost)
    assert (profit_factor(pnl) is None) == (average_loss(pnl) is None) == (not lost)
    assert (average_win(pnl) is None) == (not won)
    if won and lost:
        rate, mean = known(win_rate(pnl)), known(expectancy(pnl))
        assert 0 < rate < 1
        assert mean == close(rate * known(average_win(pnl)) + (1 - rate) * known(average_loss(pnl)), abs=1e-9)
        assert mean * (len(won) + len(lost)) == close(sum(pnl), abs=1e-9)
        assert (known(profit_factor(pnl)) > 1) == (sum(pnl) > 0)


@lasting
@given(PNL, st.integers(0, 40))
def test_a_trade_without_a_result_changes_no_rate(pnl: list[int], place: int) -> None:
    more = [*pnl[:place], 0, *pnl[place:]]
    for figure in (win_rate, profit_factor, expectancy, average_win, average_loss):
        assert figure(more) == figure(pnl)


@lasting
@given(st.lists(st.integers(-1, 1), min_size=1, max_size=40))
def test_streaks_are_the_longest_runs(pnl: list[int]) -> None:
    runs = [(sign, len(list(run))) for sign, run in groupby(pnl)]
    wins = max((length for sign, length in runs if sign == 1), default=0)
    losses = max((length for sign, length in runs if sign == -1), default=0)
    assert longest_streaks(pnl) == (wins, losses)


@lasting
@given(
    st.lists(ANYTHING, max_size=8),
    st.lists(ANYTHING, max_size=8),
    st.lists(ANYTHING, max_size=8),
    st.tuples(ANYTHING, ANYTHING, ANYTHING),
    st.floats(1e-9, 1e9),
)
def test_every_figure_is_a_finite_number_or_none_with_a_reason(
    returns: list[float], pnl: list[float], equity: list[float], options: tuple[float, float, float], periods: float
) -> None:
    told = describe(
        returns,
        pnl=pnl,
        equity=equity,
        benchmark=returns[::-1],
        risk_free=options[0],
        required_return=options[1],
        benchmark_sharpe=options[2],
        periods_per_year=periods,
        trials=10,
        sharpe_variance=abs(options[0]),
    )
    for name, each in told.items():
        if each.value is None:
            assert each.reason, name
        else:
            assert math.isfinite(each.value), name
            assert each.reason == "", name
        assert each.estimator, name
    json.dumps({name: asdict(each) for name, each in told.items()}, allow_nan=False)


@lasting
@given(RETURNS, st.integers(0, 40), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_what_is_not_finite_is_named_by_its_position(returns: list[float], place: int, wrong: float) -> None:
    values: Sequence[float] = [*returns[:place], wrong, *returns[place:]]
    with pytest.raises(InvalidInput, match=rf"^returns\[{min(place, len(returns))}\]={wrong}: must be finite$"):
        describe(values)
