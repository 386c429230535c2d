"""The same series given to the desk, to empyrical-reloaded and to quantstats: the tables in docs/performance.md.

`python -m tests.reporting.performance_comparison` writes them there again, after a change of a definition or a release.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from reporting import performance
from reporting.performance import InvalidInput, describe
from tests.reporting.market_series import Market, nasdaq, sp500
from tests.run import PROJECT

PAGE = PROJECT / "docs" / "performance.md"
# Sums are taken in different orders: beyond this many digits nobody promises anything.
SAME = 1e-9
NONE = "–"
Value = float | None
Cells = Sequence[str]


def indexed(values: Sequence[float], days: Sequence[object] | None = None) -> Any:
    """As quantstats wants it: a pandas Series by day."""
    import pandas as pd

    index = pd.DatetimeIndex(days) if days else pd.date_range("2026-01-01", periods=len(values))
    return pd.Series(list(values), index=index, dtype=float)


def definitions() -> str:
    """Every figure of the S&P 500 by each library; "same" where nine digits agree."""
    heading = ["measured", "the desk", _release("empyrical-reloaded"), _release("quantstats"), "what differs"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [
            [f"`{name}`", shown(ours), _beside(theirs, ours), _beside(others, ours), why]
            for name, ours, theirs, others, why in _figures(sp500(), nasdaq())
        ]
    return _table(heading, rows)


def odd_input() -> str:
    """What each makes of input that has no such figure."""
    heading = ["returns", "figure", "the desk", "empyrical-reloaded", "quantstats"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [
            [told, f"`{name}`", _ours(name, values), _tried(theirs), _tried(others)]
            for told, name, values, theirs, others in _oddities()
        ]
    return _table(heading, rows)


def write() -> None:
    text = PAGE.read_text()
    for table in (definitions(), odd_input()):
        heading = re.escape(table.split(" | ")[0])
        text = re.sub(rf"^{heading} \|.*?(?=\n\n)", lambda _, new=table: new, text, count=1, flags=re.M | re.S)
    PAGE.write_text(text)


def _figures(market: Market, other: Market) -> Iterator[tuple[str, Value, Value, Value, str]]:
    import empyrical as ep
    import numpy as np
    import quantstats.stats as qs

    values, by_day = np.array(market.returns), indexed(market.returns, market.days)
    more, more_by_day = np.array(other.returns), indexed(other.returns, other.days)
    ours = {name: each.value for name, each in describe(values, pnl=values).items()}
    fell = qs.drawdown_details(qs.to_drawdown_series(by_day))
    yield "total_return", ours["total_return"], ep.cum_returns_final(values), qs.comp(by_day), ""
    yield "annual_return", ours["annual_return"], ep.annual_return(values), qs.cagr(by_day), ""
    yield "annual_volatility", ours["annual_volatility"], ep.annual_volatility(values), qs.volatility(by_day), ""
    yield "sharpe_ratio", ours["sharpe_ratio"], ep.sharpe_ratio(values), qs.sharpe(by_day), ""
    yield (
        "sharpe_ratio, risk_free=0.0001",
        performance.sharpe_ratio(market.returns, risk_free=0.0001),
        ep.sharpe_ratio(values, risk_free=0.0001),
        qs.sharpe(by_day, rf=0.0001),
        "quantstats: the rate is a year's",
    )
    yield "downside_risk", ours["downside_risk"], ep.downside_risk(values), None, ""
    yield "sortino_ratio", ours["sortino_ratio"], ep.sortino_ratio(values), qs.sortino(by_day), ""
    yield "omega_ratio", ours["omega_ratio"], ep.omega_ratio(values), qs.omega(by_day), ""
    yield (
        "omega_ratio, required_return=0.001",
        performance.omega_ratio(market.returns, required_return=0.001),
        ep.omega_ratio(values, required_return=0.001),
        qs.omega(by_day, required_return=0.001),
        "both: the required return is a year's (empyrical's Sortino ratio takes a period's)",
    )
    yield "max_drawdown", ours["max_drawdown"], ep.max_drawdown(values), qs.max_drawdown(by_day), ""
    yield "drawdowns", ours["drawdowns"], None, len(fell), ""
    yield "calmar_ratio", ours["calmar_ratio"], ep.calmar_ratio(values), qs.calmar(by_day), ""
    yield "tail_ratio", ours["tail_ratio"], ep.tail_ratio(values), qs.tail_ratio(by_day), ""
    yield "stability", ours["stability"], ep.stability_of_timeseries(values), None, ""
    yield (
        "value_at_risk",
        ours["value_at_risk"],
        ep.value_at_risk(values),
        qs.value_at_risk(by_day),
        "quantstats: of a normal distribution, not of the returns that there were",
    )
    yield (
        "conditional_value_at_risk",
        ours["conditional_value_at_risk"],
        ep.conditional_value_at_risk(values),
        qs.conditional_value_at_risk(by_day),
        'quantstats: likewise; the same with `method="historical"`',
    )
    yield "skewness", ours["skewness"], None, qs.skew(by_day), "quantstats: corrected for n"
    yield "kurtosis", ours["kurtosis"], None, qs.kurtosis(by_day), "quantstats: less 3, corrected for n"
    psr = ours["probabilistic_sharpe_ratio"]
    yield "probabilistic_sharpe_ratio", psr, None, qs.probabilistic_sharpe_ratio(by_day), "quantstats: their moments"
    track = ours["minimum_track_record_length"]
    yield "minimum_track_record_length", track, None, None, ""
    yield "deflated_sharpe_ratio, of 10 trials", _deflated(values), None, None, ""
    both = performance.alpha_beta(other.returns, market.returns)
    alpha, beta = ep.alpha_beta(more, values)
    greeks = qs.greeks(more_by_day, by_day)
    yield "alpha, of the Nasdaq Composite", both.alpha, alpha, greeks["alpha"], "quantstats: times 252, not compounded"
    yield "beta, of the Nasdaq Composite", both.beta, beta, greeks["beta"], ""
    yield "win_rate", ours["win_rate"], None, qs.win_rate(by_day), ""
    yield "profit_factor", ours["profit_factor"], None, qs.profit_factor(by_day), ""
    yield "expectancy", ours["expectancy"], None, None, ""
    yield "average_win", ours["average_win"], None, qs.avg_win(by_day), ""
    yield "average_loss", ours["average_loss"], None, qs.avg_loss(by_day), ""
    yield "longest_win_streak", ours["longest_win_streak"], None, qs.consecutive_wins(by_day), ""
    yield "longest_loss_streak", ours["longest_loss_streak"], None, qs.consecutive_losses(by_day), ""


def _deflated(values: Sequence[float]) -> Value:
    return describe(values, trials=10, sharpe_variance=0.01**2)["deflated_sharpe_ratio"].value


Library = Callable[[], Any] | None


def _oddities() -> Iterator[tuple[str, str, Sequence[float], Library, Library]]:
    import empyrical as ep
    import numpy as np
    import quantstats.stats as qs

    theirs = {
        "annual_return": (ep.annual_return, qs.cagr),
        "sharpe_ratio": (ep.sharpe_ratio, qs.sharpe),
        "sortino_ratio": (ep.sortino_ratio, qs.sortino),
        "max_drawdown": (ep.max_drawdown, qs.max_drawdown),
        "calmar_ratio": (ep.calmar_ratio, qs.calmar),
        "tail_ratio": (ep.tail_ratio, qs.tail_ratio),
        "stability": (ep.stability_of_timeseries, None),
        "win_rate": (None, qs.win_rate),
        "profit_factor": (None, qs.profit_factor),
    }
    prices = [100 * 1.01**day for day in range(51)]
    steady = [after / before - 1 for before, after in pairwise(prices)]
    cases: list[tuple[str, list[float], tuple[str, ...]]] = [
        ("none", [], ("max_drawdown", "win_rate")),
        ("−100 %", [-1.0], ("sortino_ratio",)),
        ("+1 %, +150 %, +2 %", [0.01, 1.5, 0.02], ("max_drawdown", "win_rate")),
        ("+1 %, NaN, −2 %", [0.01, math.nan, -0.02], ("annual_return", "sharpe_ratio")),
        ("+2 %, −100 %, +3 %", [0.02, -1.0, 0.03], ("stability",)),
        ("+2 %, −120 %, +3 %", [0.02, -1.2, 0.03], ("annual_return", "max_drawdown")),
        ("five times +1 %", [0.01] * 5, ("sharpe_ratio", "calmar_ratio", "tail_ratio", "profit_factor")),
        ("five times −1 %", [-0.01] * 5, ("sharpe_ratio",)),
        ("a price that grows by 1 % a day", steady, ("sharpe_ratio",)),
        ("three times 0", [0.0] * 3, ("win_rate",)),
    ]
    for told, values, names in cases:
        for name in names:
            one, other = theirs[name]
            yield (
                told,
                name,
                values,
                (lambda f=one, v=values: f(np.array(v, dtype=float))) if one else None,
                (lambda f=other, v=values: f(indexed(v))) if other else None,
            )


def _ours(name: str, values: Sequence[float]) -> str:
    try:
        told = describe(values, pnl=values)[name]
    except InvalidInput as error:
        return f"refused: {error}"
    return f"n/a: {told.reason}" if told.value is None else shown(told.value)


def _tried(library: Library) -> str:
    if library is None:
        return NONE
    try:
        return shown(float(library()))
    except Exception as error:
        return type(error).__name__


def same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME)


def _beside(value: Value, ours: Value) -> str:
    if value is None:
        return NONE
    assert ours is not None
    if same(float(value), ours):
        return "same"
    return shown(value) if shown(value) != shown(ours) else f"{value:.9g} (the desk {ours:.9g})"


def shown(value: Value) -> str:
    assert value is not None
    # What is left of a spread by rounding differs from one processor to the next.
    return f"{value:.6g}" if abs(value) < 1e9 or math.isinf(value) else f"{value:.0e}"


def _release(package: str) -> str:
    return f"{package} {version(package)}"


def _table(heading: Cells, rows: Sequence[Cells]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines).replace(
        "|  |", "| |"
    )


if __name__ == "__main__":
    write()
