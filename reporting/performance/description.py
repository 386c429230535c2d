"""Every figure at once, each with its estimator, its number of observations and the reason why there is none. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from reporting.performance.benchmark import alpha, beta
from reporting.performance.drawdowns import calmar_ratio, drawdown_count, max_drawdown, recovery_days
from reporting.performance.estimate import Estimate, Measure
from reporting.performance.evidence import (
    confident,
    deflated_sharpe_ratio,
    expected_best_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
)
from reporting.performance.observations import InvalidInput, number, numbers
from reporting.performance.returns import (
    Numbers,
    annual_return,
    annual_volatility,
    conditional_value_at_risk,
    downside_risk,
    kurtosis,
    omega_ratio,
    sharpe_ratio,
    skewness,
    sortino_ratio,
    stability,
    tail_ratio,
    total_return,
    value_at_risk,
)
from reporting.performance.trade_results import (
    average_loss,
    average_win,
    expectancy,
    longest_loss_streak,
    longest_win_streak,
    profit_factor,
    win_rate,
)


def describe(
    returns: Numbers,
    *,
    pnl: Numbers | None = None,
    equity: Numbers | None = None,
    benchmark: Numbers | None = None,
    risk_free: float = 0.0,
    periods_per_year: float = 252,
    required_return: float = 0.0,
    cutoff: float = 0.05,
    benchmark_sharpe: float = 0.0,
    trials: int | None = None,
    sharpe_variance: float | None = None,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Every figure by its name. What was not given (`pnl` of trades, daily `equity`, …) is the reason of its figures.

    Options mean what they mean to the figures themselves; `risk_free`, `required_return` and `benchmark_sharpe` are per
    period. InvalidInput for what is no finite number.
    """
    values = numbers("returns", returns)
    market = None if benchmark is None else numbers("benchmark", benchmark)
    daily = None if equity is None else numbers("equity", equity)
    return {
        **_of_returns(
            values,
            risk_free=risk_free,
            periods_per_year=periods_per_year,
            required_return=required_return,
            cutoff=cutoff,
        ),
        **_evidence(
            values,
            risk_free=risk_free,
            benchmark_sharpe=benchmark_sharpe,
            trials=trials,
            sharpe_variance=sharpe_variance,
            confidence=confidence,
        ),
        **_beside(values, market, risk_free=risk_free, periods_per_year=periods_per_year),
        **_of_trades(pnl),
        "recovery_days": recovery_days.missing("no daily equity was given")
        if daily is None
        else recovery_days.estimate(len(daily), daily),
    }


def _of_returns(
    values: Sequence[float], *, risk_free: float, periods_per_year: float, required_return: float, cutoff: float
) -> dict[str, Estimate]:
    n, year = len(values), periods_per_year
    return {
        "total_return": total_return.estimate(n, values),
        "annual_return": annual_return.estimate(n, values, periods_per_year=year),
        "annual_volatility": annual_volatility.estimate(n, values, periods_per_year=year),
        "sharpe_ratio": sharpe_ratio.estimate(n, values, risk_free=risk_free, periods_per_year=year),
        "downside_risk": downside_risk.estimate(n, values, required_return=required_return, periods_per_year=year),
        "sortino_ratio": sortino_ratio.estimate(n, values, required_return=required_return, periods_per_year=year),
        "max_drawdown": max_drawdown.estimate(n, values),
        "drawdowns": drawdown_count.estimate(n, values),
        "calmar_ratio": calmar_ratio.estimate(n, values, periods_per_year=year),
        "omega_ratio": omega_ratio.estimate(n, values, required_return=required_return),
        "tail_ratio": tail_ratio.estimate(n, values),
        "stability": stability.estimate(n, values),
        "value_at_risk": value_at_risk.estimate(n, values, cutoff=cutoff),
        "conditional_value_at_risk": conditional_value_at_risk.estimate(n, values, cutoff=cutoff),
        "skewness": skewness.estimate(n, values),
        "kurtosis": kurtosis.estimate(n, values),
    }


class _Sample(TypedDict):
    sharpe: float
    skewness: float
    kurtosis: float


def _evidence(
    values: Sequence[float],
    *,
    risk_free: float,
    benchmark_sharpe: float,
    trials: int | None,
    sharpe_variance: float | None,
    confidence: float,
) -> dict[str, Estimate]:
    # Refused also where there is no Sharpe ratio that they would be used with.
    n, least, benchmark = len(values), confident(confidence), number("benchmark_sharpe", benchmark_sharpe)

    def sample() -> _Sample:
        return {
            "sharpe": sharpe_ratio.value(values, risk_free=risk_free, periods_per_year=1),
            "skewness": skewness.value(values),
            "kurtosis": kurtosis.value(values),
        }

    if (trials is None) != (sharpe_variance is None):
        raise InvalidInput(f"trials={trials}, sharpe_variance={sharpe_variance}: must be given together")
    if trials is None or sharpe_variance is None:
        deflated = deflated_sharpe_ratio.missing(
            "how many strategies were tried, and the variance of their Sharpe ratios, was not given", trials="unknown"
        )
    else:
        best = expected_best_sharpe(trials=trials, sharpe_variance=sharpe_variance)
        deflated = deflated_sharpe_ratio.estimated(
            n, lambda: probabilistic_sharpe_ratio.value(**sample(), n=n, benchmark_sharpe=best), trials=trials
        )
    return {
        "probabilistic_sharpe_ratio": probabilistic_sharpe_ratio.estimated(
            n,
            lambda: probabilistic_sharpe_ratio.value(**sample(), n=n, benchmark_sharpe=benchmark),
            benchmark_sharpe=benchmark,
        ),
        "deflated_sharpe_ratio": deflated,
        "minimum_track_record_length": minimum_track_record_length.estimated(
            n,
            lambda: minimum_track_record_length.value(**sample(), benchmark_sharpe=benchmark, confidence=least),
            benchmark_sharpe=benchmark,
            confidence=least,
        ),
    }


def _beside(
    values: Sequence[float], benchmark: Numbers | None, *, risk_free: float, periods_per_year: float
) -> dict[str, Estimate]:
    n, reason = len(values), "no benchmark was given"
    if benchmark is None:
        return {
            "alpha": alpha.missing(reason, risk_free=risk_free, periods_per_year=periods_per_year),
            "beta": beta.missing(reason),
        }
    return {
        "alpha": alpha.estimate(n, values, benchmark, risk_free=risk_free, periods_per_year=periods_per_year),
        "beta": beta.estimate(n, values, benchmark),
    }


def _of_trades(pnl: Numbers | None) -> dict[str, Estimate]:
    """`n` is what went in: trades won or lost for the rates, those won for the average win, all for the streaks."""
    results = None if pnl is None else numbers("pnl", pnl)
    won = sum(each > 0 for each in results or ())
    lost = sum(each < 0 for each in results or ())
    counted: dict[str, tuple[Measure[[Numbers]], int]] = {
        "win_rate": (win_rate, won + lost),
        "profit_factor": (profit_factor, won + lost),
        "expectancy": (expectancy, won + lost),
        "average_win": (average_win, won),
        "average_loss": (average_loss, lost),
        "longest_win_streak": (longest_win_streak, len(results or ())),
        "longest_loss_streak": (longest_loss_streak, len(results or ())),
    }
    return {
        name: figure.missing("no P&L of trades was given") if results is None else figure.estimate(n, results)
        for name, (figure, n) in counted.items()
    }
