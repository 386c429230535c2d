"""On long real series the figures of strategies are those of other libraries, where these define them alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from reporting import performance
from tests.reporting import performance_comparison
from tests.reporting.market_series import MARKETS, Market, nasdaq, sp500
from tests.reporting.performance_comparison import PAGE, SAME, definitions, indexed, odd_input

# What they warn of as they are imported and run is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(params=MARKETS, ids=lambda market: market.__name__)
def market(request: pytest.FixtureRequest) -> Market:
    series: Market = request.param()
    return series


def test_the_series_are_long_and_known(market: Market) -> None:
    assert len(market.returns) == len(market.days) > 1000
    assert list(market.days) == sorted(set(market.days))
    assert min(market.returns) < -0.09
    assert max(market.returns) > 0.1


def _of_empyrical(market: Market) -> dict[str, Any]:
    import empyrical as ep

    values, year = np.array(market.returns), {"annualization": market.periods_per_year}
    return {
        "total_return": ep.cum_returns_final(values),
        "annual_return": ep.annual_return(values, **year),
        "annual_volatility": ep.annual_volatility(values, **year),
        "sharpe_ratio": ep.sharpe_ratio(values, risk_free=0.0002, **year),
        "downside_risk": ep.downside_risk(values, required_return=0.0003, **year),
        "sortino_ratio": ep.sortino_ratio(values, required_return=0.0003, **year),
        "max_drawdown": ep.max_drawdown(values),
        "calmar_ratio": ep.calmar_ratio(values, **year),
        "omega_ratio": ep.omega_ratio(values, required_return=0.0003, annualization=1),
        "tail_ratio": ep.tail_ratio(values),
        "stability": ep.stability_of_timeseries(values),
        "value_at_risk": ep.value_at_risk(values, cutoff=0.03),
        "conditional_value_at_risk": ep.conditional_value_at_risk(values, cutoff=0.03),
    }


def _of_quantstats(market: Market) -> dict[str, Any]:
    import quantstats.stats as qs

    values, year = indexed(market.returns, market.days), market.periods_per_year
    return {
        "total_return": qs.comp(values),
        "annual_return": qs.cagr(values, periods=year),
        "annual_volatility": qs.volatility(values, periods=year),
        # quantstats takes both of a year, and takes them out of every return before anything else.
        "sharpe_ratio": qs.sharpe(values, rf=1.0002**year - 1, periods=year),
        "sortino_ratio": qs.sortino(values, rf=1.0003**year - 1, periods=year),
        "max_drawdown": qs.max_drawdown(values),
        "drawdowns": len(qs.drawdown_details(qs.to_drawdown_series(values))),
        "calmar_ratio": qs.calmar(values, periods=year),
        "omega_ratio": qs.omega(values, required_return=0.0003, periods=1),
        "tail_ratio": qs.tail_ratio(values),
        "conditional_value_at_risk": qs.conditional_value_at_risk(values, confidence=0.97, method="historical"),
        "win_rate": qs.win_rate(values),
        "profit_factor": qs.profit_factor(values),
        "average_win": qs.avg_win(values),
        "average_loss": qs.avg_loss(values),
        "longest_win_streak": qs.consecutive_wins(values),
        "longest_loss_streak": qs.consecutive_losses(values),
    }


def _of_scipy(market: Market) -> dict[str, Any]:
    from scipy import stats

    values, n = np.array(market.returns), len(market.returns)
    line = stats.linregress(np.arange(n), np.log1p(values).cumsum())
    sharpe = (values.mean() - 0.0002) / values.std(ddof=1)
    g3, g4 = stats.skew(values), stats.kurtosis(values, fisher=False)
    error = math.sqrt((1 - g3 * sharpe + (g4 - 1) / 4 * sharpe**2) / (n - 1))
    best = math.sqrt(0.0004) * (
        (1 - np.euler_gamma) * stats.norm.isf(1 / 25) + np.euler_gamma * stats.norm.isf(1 / (25 * math.e))
    )
    return {
        "annual_volatility": values.std(ddof=1) * math.sqrt(market.periods_per_year),
        "value_at_risk": np.percentile(values, 3),
        "stability": line.rvalue**2,
        "skewness": g3,
        "kurtosis": g4,
        "probabilistic_sharpe_ratio": stats.norm.cdf((sharpe - 0.001) / error),
        "deflated_sharpe_ratio": stats.norm.cdf((sharpe - best) / error),
        "minimum_track_record_length": 1 + (n - 1) * (error * stats.norm.ppf(0.9) / (sharpe - 0.001)) ** 2,
    }


@pytest.mark.parametrize("library", [_of_empyrical, _of_quantstats, _of_scipy])
def test_figures_are_those_of_another_library(market: Market, library: Callable[[Market], dict[str, Any]]) -> None:
    ours = performance.describe(
        market.returns,
        pnl=market.returns,
        risk_free=0.0002,
        required_return=0.0003,
        periods_per_year=market.periods_per_year,
        cutoff=0.03,
        benchmark_sharpe=0.001,
        trials=25,
        sharpe_variance=0.0004,
        confidence=0.9,
    )
    theirs = library(market)
    assert {name: ours[name].value for name in theirs} == pytest.approx(theirs, rel=SAME)


def test_alpha_and_beta_are_those_of_other_libraries() -> None:
    import empyrical as ep
    import quantstats.stats as qs
    from scipy import stats

    one, other = nasdaq(), sp500()
    assert one.days == other.days
    values, market = np.array(one.returns), np.array(other.returns)
    ours = performance.alpha_beta(one.returns, other.returns, risk_free=0.0001)
    assert ours == pytest.approx(tuple(ep.alpha_beta(values, market, risk_free=0.0001)), rel=SAME)
    line = stats.linregress(market - 0.0001, values - 0.0001)
    per_period = performance.alpha(one.returns, other.returns, risk_free=0.0001, periods_per_year=1)
    assert (per_period, ours.beta) == pytest.approx((line.intercept, line.slope), rel=SAME)
    assert ours.beta == pytest.approx(
        qs.greeks(indexed(one.returns, one.days), indexed(other.returns, other.days))["beta"], rel=SAME
    )


def test_the_low_of_the_deepest_drawdown_is_the_day_that_history_knows() -> None:
    series = sp500()
    found = performance.drawdowns(series.returns)
    assert found is not None
    deepest = min(found, key=lambda each: each.depth)
    assert deepest.end is not None
    days = [series.days[place - 1].isoformat() for place in (deepest.peak, deepest.trough, deepest.end)]
    assert days == ["2007-10-09", "2009-03-09", "2013-03-28"]


@pytest.mark.parametrize("table", [definitions, odd_input])
def test_the_documentation_shows_what_each_library_computes(table: Callable[[], str]) -> None:
    assert table() in PAGE.read_text(), "run python -m tests.reporting.performance_comparison"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Any]:
    copy = tmp_path / "performance.md"
    copy.write_text(PAGE.read_text())
    monkeypatch.setattr(performance_comparison, "PAGE", copy)
    return copy


def test_writing_the_tables_again_changes_what_is_old_and_nothing_else(page: Any) -> None:
    current = page.read_text()
    page.write_text(current.replace("| 1.04124 |", "| 1.04125 |").replace("DataValidationError", "0"))
    assert page.read_text() != current
    performance_comparison.write()
    assert page.read_text() == current
