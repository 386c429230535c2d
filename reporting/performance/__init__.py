"""Are these strategies any good? Figures of returns and of the P&L of trades, as pure functions with stable names.

Each returns a float, or None where it is undefined, never 0, -100 % or infinity in its place; `describe` also says how
it was estimated, from how many observations, and why it is undefined. Definitions: docs/performance.md.
"""

from reporting.performance.benchmark import AlphaBeta, alpha, alpha_beta, beta
from reporting.performance.description import describe
from reporting.performance.drawdowns import (
    Drawdown,
    calmar_ratio,
    drawdown_count,
    drawdowns,
    max_drawdown,
    recovery_days,
    underwater,
)
from reporting.performance.estimate import VERSION, Estimate
from reporting.performance.evidence import (
    deflated_sharpe_ratio,
    expected_best_sharpe,
    minimum_track_record_length,
    probabilistic_sharpe_ratio,
    sharpe_standard_error,
)
from reporting.performance.observations import InvalidInput
from reporting.performance.returns import (
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
    Streaks,
    average_loss,
    average_win,
    expectancy,
    longest_loss_streak,
    longest_streaks,
    longest_win_streak,
    profit_factor,
    win_rate,
)

__all__ = [
    "VERSION",
    "AlphaBeta",
    "Drawdown",
    "Estimate",
    "InvalidInput",
    "Streaks",
    "alpha",
    "alpha_beta",
    "annual_return",
    "annual_volatility",
    "average_loss",
    "average_win",
    "beta",
    "calmar_ratio",
    "conditional_value_at_risk",
    "deflated_sharpe_ratio",
    "describe",
    "downside_risk",
    "drawdown_count",
    "drawdowns",
    "expectancy",
    "expected_best_sharpe",
    "kurtosis",
    "longest_loss_streak",
    "longest_streaks",
    "longest_win_streak",
    "max_drawdown",
    "minimum_track_record_length",
    "omega_ratio",
    "probabilistic_sharpe_ratio",
    "profit_factor",
    "recovery_days",
    "sharpe_ratio",
    "sharpe_standard_error",
    "skewness",
    "sortino_ratio",
    "stability",
    "tail_ratio",
    "total_return",
    "underwater",
    "value_at_risk",
    "win_rate",
]
