"""Figures of strategies as rows of a page: value, unit, n, and the estimator or why there is none. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import floor, log10

from reporting.performance import Estimate

LABELS = {
    "total_return": "Return",
    "annual_return": "Return a year",
    "annual_volatility": "Volatility a year",
    "sharpe_ratio": "Sharpe ratio",
    "downside_risk": "Downside risk a year",
    "sortino_ratio": "Sortino ratio",
    "max_drawdown": "Largest drawdown",
    "drawdowns": "Drawdowns",
    "recovery_days": "Recovery of the deepest",
    "calmar_ratio": "Calmar ratio",
    "omega_ratio": "Omega ratio",
    "tail_ratio": "Tail ratio",
    "stability": "Stability",
    "value_at_risk": "VaR, 5 %",
    "conditional_value_at_risk": "CVaR, 5 %",
    "skewness": "Skewness",
    "kurtosis": "Kurtosis",
    "probabilistic_sharpe_ratio": "Probabilistic Sharpe ratio",
    "deflated_sharpe_ratio": "Deflated Sharpe ratio",
    "minimum_track_record_length": "Minimum track record",
    "win_rate": "Win rate",
    "profit_factor": "Profit factor",
    "expectancy": "Expectancy",
    "average_win": "Average win",
    "average_loss": "Average loss",
    "longest_win_streak": "Most won in a row",
    "longest_loss_streak": "Most lost in a row",
    "alpha": "Alpha a year",
    "beta": "Beta",
    "correlation": "Correlation",
    "tracking_error": "Tracking error a year",
}
# Percent stands with the number.
_UNITS = {"fraction": "", "probability": "", "periods": "days"}


@dataclass(frozen=True, kw_only=True)
class FigureRow:
    """One figure. `value` is in `unit` (a fraction as it is: 0.01 = 1 %); None where `reason` says why. `low` and
    `high` are bounds of confidence where it has them.
    """

    name: str
    label: str
    value: float | Decimal | None
    unit: str
    n: int
    estimator: str
    reason: str
    low: float | None = None
    high: float | None = None
    value_text: str
    unit_text: str
    bounds_text: str = ""

    @property
    def note_text(self) -> str:
        """Bounds, n and the estimator, or the reason, in a line."""
        if self.value is None:
            return f"{self.reason}; n = {self.n:,}"
        return ", ".join(part for part in (self.bounds_text, f"n = {self.n:,}: {self.estimator}") if part)


def row(
    name: str, estimate: Estimate, *, label: str = "", low: float | None = None, high: float | None = None
) -> FigureRow:
    return FigureRow(
        name=name,
        label=label or LABELS[name],
        value=estimate.value,
        unit=estimate.unit,
        n=estimate.n,
        estimator=estimate.estimator,
        reason=estimate.reason,
        low=low,
        high=high,
        value_text=shown(estimate.value, estimate.unit),
        unit_text="" if estimate.value is None else _UNITS.get(estimate.unit, estimate.unit),
        bounds_text="" if low is None or high is None else f"{low:.2f} to {high:.2f}",
    )


def money_row(name: str, label: str, value: Decimal | None, *, n: int, estimator: str, reason: str = "") -> FigureRow:
    return FigureRow(
        name=name,
        label=label,
        value=value,
        unit="money",
        n=n,
        estimator=estimator,
        reason=reason if value is None else "",
        value_text=shown(value, "money"),
        unit_text="" if value is None else "money",
    )


def count_row(name: str, label: str, value: int, *, unit: str, estimator: str) -> FigureRow:
    return FigureRow(
        name=name,
        label=label,
        value=Decimal(value),
        unit=unit,
        n=value,
        estimator=estimator,
        reason="",
        value_text=f"{value:,}",
        unit_text=unit,
    )


def shown(value: float | Decimal | None, unit: str) -> str:
    """Without its unit, but for percent."""
    if value is None:
        return "n/a"
    if unit == "fraction":
        return percent(float(value))
    if unit == "probability":
        return _probability(float(value))
    if unit == "ratio":
        return _digits(float(value), most=4)
    return f"{value:,.2f}" if unit == "money" else f"{value:,.0f}"


def percent(fraction: float, *, signed: bool = False) -> str:
    """Two digits after the point, or as many, up to six, as it takes to show two: "-0.0036 %", not "-0.00 %"."""
    return f"{_digits(100 * fraction, most=6, signed=signed)} %"


def _digits(value: float, *, most: int, signed: bool = False) -> str:
    size = 0 if value == 0 else floor(log10(abs(value)))
    digits = min(most, max(2, 1 - size))
    # Nothing is left of it: then no sign either.
    rounded = round(value, digits) or 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{digits}f}"


def _probability(value: float) -> str:
    """One that is almost 0 or 1 is neither."""
    if 0 < value < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if 0.9995 < value < 1 else f"{value * 100:.1f} %"
