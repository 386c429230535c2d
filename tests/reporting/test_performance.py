"""Figures of strategies: what they are, when there is none, and what is refused."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from decimal import Decimal
from types import NoneType
from typing import Any

import numpy as np
import pytest

from reporting import performance
from reporting.performance import (
    VERSION,
    AlphaBeta,
    Drawdown,
    InvalidInput,
    Streaks,
    alpha,
    alpha_beta,
    annual_return,
    annual_volatility,
    average_loss,
    average_win,
    beta,
    calmar_ratio,
    conditional_value_at_risk,
    deflated_sharpe_ratio,
    describe,
    downside_risk,
    drawdown_count,
    drawdowns,
    expectancy,
    expected_best_sharpe,
    kurtosis,
    longest_loss_streak,
    longest_streaks,
    longest_win_streak,
    max_drawdown,
    minimum_track_record_length,
    omega_ratio,
    probabilistic_sharpe_ratio,
    profit_factor,
    recovery_days,
    sharpe_ratio,
    sharpe_standard_error,
    skewness,
    sortino_ratio,
    stability,
    tail_ratio,
    total_return,
    underwater,
    value_at_risk,
    win_rate,
)
from tests.run import PROJECT

OF_RETURNS: tuple[Callable[..., Any], ...] = (
    total_return,
    annual_return,
    annual_volatility,
    sharpe_ratio,
    downside_risk,
    sortino_ratio,
    omega_ratio,
    max_drawdown,
    drawdowns,
    drawdown_count,
    underwater,
    calmar_ratio,
    tail_ratio,
    stability,
    value_at_risk,
    conditional_value_at_risk,
    skewness,
    kurtosis,
)
OF_TRADES: tuple[Callable[..., Any], ...] = (
    win_rate,
    profit_factor,
    expectancy,
    average_win,
    average_loss,
    longest_win_streak,
    longest_loss_streak,
    longest_streaks,
)
NOT_GIVEN = {
    "alpha": "no benchmark was given",
    "beta": "no benchmark was given",
    "deflated_sharpe_ratio": ("how many strategies were tried, and the variance of their Sharpe ratios, was not given"),
    "recovery_days": "no daily equity was given",
}
TRADE_FIGURES = (
    "win_rate",
    "profit_factor",
    "expectancy",
    "average_win",
    "average_loss",
    "longest_win_streak",
    "longest_loss_streak",
)
TRADES_NOT_GIVEN = dict.fromkeys(TRADE_FIGURES, "no P&L of trades was given")

# By hand: mean 0.01, deviations 0.01, -0.03, 0.02, standard deviation sqrt(0.0014 / 2); 1.02 x 0.98 x 1.03.
THREE = (0.02, -0.02, 0.03)


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        (total_return(THREE), 1.02 * 0.98 * 1.03 - 1),
        (annual_return(THREE), (1.02 * 0.98 * 1.03) ** 84 - 1),
        (annual_return(THREE, periods_per_year=12), (1.02 * 0.98 * 1.03) ** 4 - 1),
        (annual_volatility(THREE), math.sqrt(0.0007 * 252)),
        (annual_volatility(THREE, periods_per_year=1), math.sqrt(0.0007)),
        (sharpe_ratio(THREE), 0.01 / math.sqrt(0.0007) * math.sqrt(252)),
        (sharpe_ratio(THREE, risk_free=0.004), 0.006 / math.sqrt(0.0007) * math.sqrt(252)),
        # Over all three, not over the one below.
        (downside_risk(THREE, periods_per_year=1), math.sqrt(0.0004 / 3)),
        (downside_risk(THREE, required_return=0.01, periods_per_year=1), math.sqrt(0.0009 / 3)),
        (sortino_ratio(THREE), 0.01 / math.sqrt(0.0004 / 3) * math.sqrt(252)),
        (sortino_ratio(THREE, required_return=0.005), 0.005 / math.sqrt(0.000625 / 3) * math.sqrt(252)),
        (omega_ratio(THREE), 0.05 / 0.02),
        (omega_ratio(THREE, required_return=0.02), 0.01 / 0.04),
        (max_drawdown(THREE), -0.02),
        # The wealth starts at 1: the loss of the first day counts.
        (max_drawdown((-0.1, 0.05, -0.02)), -0.1),
        (max_drawdown((0.1, 0.2)), 0.0),
        (calmar_ratio(THREE, periods_per_year=3), (1.02 * 0.98 * 1.03 - 1) / 0.02),
        # 21 returns: the 5th and 95th percentiles are observations.
        (tail_ratio([each / 100 for each in range(-8, 13)]), 0.11 / 0.07),
        (value_at_risk([each / 100 for each in range(-8, 13)]), -0.07),
        (conditional_value_at_risk([each / 100 for each in range(-8, 13)]), -0.075),
        # Between two of them: 0.1 x 2 = 0.2 of the way from -0.02 to 0.02.
        (value_at_risk(THREE, cutoff=0.1), -0.012),
        (conditional_value_at_risk(THREE, cutoff=0.1), -0.02),
        # 0.29 x 100 is 28.999999999999996: the 29th still is at the edge, and belongs to the tail.
        (value_at_risk([each / 1000 for each in range(101)], cutoff=0.29), 0.029),
        (conditional_value_at_risk([each / 1000 for each in range(101)], cutoff=0.29), 0.0145),
        # The same growth every day lies on a line; up and down again does not.
        (stability((0.01,) * 9), 1.0),
        (stability((0.1, 0.0, 1 / 1.1 - 1)), 0.75),
        # Of 0, 0, 0, 1: m2 3/16, m3 3/32, m4 21/256.
        (skewness((0, 0, 0, 1)), (3 / 32) / (3 / 16) ** 1.5),
        (kurtosis((0, 0, 0, 1)), (21 / 256) / (3 / 16) ** 2),
        (beta((0.02, 0.04, 0.0), (0.01, 0.02, 0.0)), 2.0),
        (alpha((0.03, 0.05, 0.01), (0.01, 0.02, 0.0), periods_per_year=2), 1.01**2 - 1),
        # 0.02 - 0.005 - 2 x (0.01 - 0.005) = 0.005.
        (alpha((0.02, 0.04, 0.0), (0.01, 0.02, 0.0), risk_free=0.005, periods_per_year=1), 0.005),
        (win_rate((5, -2, 0, 3)), 2 / 3),
        (profit_factor((5, -2, 0, 3)), 4.0),
        (expectancy((5, -2, 0, 3)), 2.0),
        (average_win((5, -2, 0, 3)), 4.0),
        (average_loss((5, -2, 0, -3)), -2.5),
        (win_rate((-1, -2)), 0.0),
        (profit_factor((-1, -2)), 0.0),
        (recovery_days((100, 90, 80, 95, 100, 99)), 2),
        (recovery_days((100, 90, 100, 110, 70, 80, 90, 120, 119)), 3),
    ],
)
def test_figures_are_what_they_are_by_hand(figure: float, value: float) -> None:
    assert figure == pytest.approx(value, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    ("pnl", "streaks"),
    [
        ((1, 2, -1, 3, 4, 5), Streaks(wins=3, losses=1)),
        # A trade of 0 ends a streak.
        ((1, 0, 2, -1, 0, -1), Streaks(wins=1, losses=1)),
        ((1, 1), Streaks(wins=2, losses=0)),
        ((0,), Streaks(wins=0, losses=0)),
        ((), Streaks(wins=None, losses=None)),
    ],
)
def test_streaks_are_trades_in_a_row(pnl: Sequence[float], streaks: Streaks) -> None:
    assert longest_streaks(pnl) == streaks


def test_drawdowns_tell_high_low_and_recovery_and_the_last_may_be_open() -> None:
    returns = (-0.5, 1.0, 0.1, -0.1, -0.1, 0.5, -0.2, 0.1)
    assert drawdowns(returns) == (
        Drawdown(peak=0, trough=1, end=2, depth=pytest.approx(-0.5)),
        Drawdown(peak=3, trough=5, end=6, depth=pytest.approx(-0.19)),
        Drawdown(peak=6, trough=7, end=None, depth=pytest.approx(-0.2)),
    )
    assert drawdown_count(returns) == 3
    depths = [0, -0.5, 0, 0, -0.1, -0.19, 0, -0.2, -0.12]
    assert underwater(returns) == pytest.approx(depths, abs=1e-15)
    assert drawdowns((0.1, 0.2)) == ()


def test_what_is_lost_stays_lost() -> None:
    assert underwater((0.5, -1.0, 0.5)) == (0.0, 0.0, -1.0, -1.0)
    assert (total_return((0.5, -1.0, 0.5)), annual_return((0.5, -1.0, 0.5))) == (-1.0, -1.0)
    assert drawdowns((0.5, -1.0, 0.5)) == (Drawdown(peak=1, trough=2, end=None, depth=-1.0),)


# From the papers: a hedge fund's 24 months with a monthly Sharpe ratio of 0.458, 0.982 if they were normal, 0.913 as
# they were. A record of 2.73, 2.83 or 3.24 years of days, weeks or months that shows 2 a year to be more than 1. Trials
# of which the best had 2.5 a year over 1250 days: 0.9004 if there were 100 of them, 0.9505 if 46.
def test_the_probabilistic_sharpe_ratio_is_the_one_of_its_paper() -> None:
    fund = {"sharpe": 0.458, "benchmark_sharpe": 0, "n": 24}
    assert probabilistic_sharpe_ratio(**fund) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe_ratio(**fund, skewness=-2.448, kurtosis=10.164) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(("periods", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_minimum_track_record_is_the_one_of_its_paper(periods: int, years: float) -> None:
    year = math.sqrt(periods)
    length = minimum_track_record_length(sharpe=2 / year, benchmark_sharpe=1 / year)
    assert length is not None
    assert length / periods == pytest.approx(years, abs=5e-3)


@pytest.mark.parametrize(("trials", "probability"), [(100, 0.9004), (46, 0.9505)])
def test_the_deflated_sharpe_ratio_is_the_one_of_its_paper(trials: int, probability: float) -> None:
    best = {"sharpe": 2.5 / math.sqrt(250), "n": 1250, "skewness": -3, "kurtosis": 10}
    deflated = deflated_sharpe_ratio(**best, trials=trials, sharpe_variance=0.5 / 250)
    assert deflated == pytest.approx(probability, abs=5e-5)


def test_the_best_of_one_trial_is_not_deflated() -> None:
    assert expected_best_sharpe(trials=1, sharpe_variance=0.5) == 0
    one = deflated_sharpe_ratio(sharpe=0.1, n=100, trials=1, sharpe_variance=0.5)
    assert one == probabilistic_sharpe_ratio(sharpe=0.1, benchmark_sharpe=0, n=100)


ONE = "1 return, 2 are needed"
FEW = {
    "stability": "1 return, 3 are needed",
    "skewness": "1 return, 3 are needed",
    "kurtosis": "1 return, 4 are needed",
}
OF_ONE = {
    **dict.fromkeys(("annual_volatility", "sharpe_ratio", "sortino_ratio", "omega_ratio"), ONE),
    **dict.fromkeys(("probabilistic_sharpe_ratio", "minimum_track_record_length"), ONE),
    **FEW,
}
ALIKE = dict.fromkeys(
    ("sharpe_ratio", "skewness", "kurtosis", "probabilistic_sharpe_ratio", "minimum_track_record_length"),
    "all returns are alike: they have no variance",
)
NONE_BELOW = dict.fromkeys(("sortino_ratio", "omega_ratio"), "no return is below the required 0")
NO_DRAWDOWN = {"calmar_ratio": "there was no drawdown"}
TOO_MUCH = "returns[1]=-1.2: a loss of more than everything can't be compounded"
UNDEFINED: dict[str, tuple[Sequence[float], dict[str, str]]] = {
    "no returns": (
        (),
        dict.fromkeys(
            (
                *("total_return", "annual_return", "annual_volatility", "sharpe_ratio", "downside_risk"),
                *("sortino_ratio", "max_drawdown", "drawdowns", "calmar_ratio", "omega_ratio", "tail_ratio"),
                *("stability", "value_at_risk", "conditional_value_at_risk", "skewness", "kurtosis"),
                *("probabilistic_sharpe_ratio", "minimum_track_record_length"),
            ),
            "no returns",
        ),
    ),
    "a single day of +1 %": (
        (0.01,),
        {**OF_ONE, **NO_DRAWDOWN, "tail_ratio": "the 5th percentile is 0.01: the left tail has no loss"},
    ),
    "a single day of -100 %": (
        (-1.0,),
        {**OF_ONE, "tail_ratio": "the 95th percentile is -1: the right tail has no gain"},
    ),
    "a single day of +150 %": (
        (1.5,),
        {**OF_ONE, **NO_DRAWDOWN, "tail_ratio": "the 5th percentile is 1.5: the left tail has no loss"},
    ),
    "a day of +150 % among others is a return, no price": ((0.01, -0.02, 1.5, 0.02), {}),
    "a day of -100 % among others": (
        (0.01, 0.02, -1.0, 0.03, 0.01),
        {
            "stability": "returns[2]=-1: everything is lost, and the logarithm of 0 is not defined",
            "minimum_track_record_length": "a Sharpe ratio of -0.408688 is not above 0: no record is long enough",
        },
    ),
    "a day of -120 %": (
        (0.01, -1.2, 0.03, 0.02),
        {
            **dict.fromkeys(
                ("total_return", "annual_return", "max_drawdown", "drawdowns", "calmar_ratio", "stability"), TOO_MUCH
            ),
            "minimum_track_record_length": "a Sharpe ratio of -0.467171 is not above 0: no record is long enough",
        },
    ),
    "all wins": (
        (0.01, 0.02, 0.03, 0.01),
        {**NONE_BELOW, **NO_DRAWDOWN, "tail_ratio": "the 5th percentile is 0.01: the left tail has no loss"},
    ),
    "all losses equal": (
        (-0.01,) * 5,
        {**ALIKE, "tail_ratio": "the 95th percentile is -0.01: the right tail has no gain"},
    ),
    "all losses": (
        (-0.01, -0.02, -0.03, -0.01),
        {
            "tail_ratio": "the 95th percentile is -0.01: the right tail has no gain",
            "minimum_track_record_length": "a Sharpe ratio of -1.82782 is not above 0: no record is long enough",
        },
    ),
    "zero variance": (
        (0.01,) * 5,
        {
            **ALIKE,
            **NONE_BELOW,
            **NO_DRAWDOWN,
            "tail_ratio": "the 5th percentile is 0.01: the left tail has no loss",
        },
    ),
    "no movement at all": (
        (0.0,) * 5,
        {
            **ALIKE,
            **NONE_BELOW,
            **NO_DRAWDOWN,
            "tail_ratio": "the 5th percentile is 0: the left tail has no loss",
            "stability": "the wealth does not move after the first period",
        },
    ),
    "what a price that grows by 1 % a day leaves of rounding": (
        tuple(1.01 ** (day + 1) / 1.01**day - 1 for day in range(30)),
        {
            **ALIKE,
            **NONE_BELOW,
            **NO_DRAWDOWN,
            "tail_ratio": "the 5th percentile is 0.01: the left tail has no loss",
        },
    ),
    "two values only: no skewness can be had": (
        (0.01, -0.01),
        {
            "stability": "2 returns, 3 are needed",
            "skewness": "2 returns, 3 are needed",
            "kurtosis": "2 returns, 4 are needed",
            "probabilistic_sharpe_ratio": "2 returns, 3 are needed",
            "minimum_track_record_length": "2 returns, 3 are needed",
        },
    ),
    "a Sharpe ratio below the benchmark's": (
        (0.01, -0.02, -0.03, 0.02),
        {"minimum_track_record_length": ("a Sharpe ratio of -0.210042 is not above 0: no record is long enough")},
    ),
    "beyond every float": (
        (1e300, 1e300, -0.5, -0.5),
        dict.fromkeys(("total_return", "annual_return", "calmar_ratio"), "too large for a floating-point number"),
    ),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_undefined_is_none_with_its_reason_and_the_rest_is_finite(case: str) -> None:
    returns, expected = UNDEFINED[case]
    told = describe(returns)
    reasons = {name: each.reason for name, each in told.items() if each.value is None}
    assert reasons == {**expected, **NOT_GIVEN, **TRADES_NOT_GIVEN}
    assert all(math.isfinite(each.value) and each.reason == "" for each in told.values() if each.value is not None)


@pytest.mark.parametrize("case", UNDEFINED)
def test_a_function_says_none_where_the_description_has_a_reason(case: str) -> None:
    returns, _ = UNDEFINED[case]
    told = describe(returns)
    for figure in OF_RETURNS:
        name = figure.__name__
        if name in ("underwater", "drawdowns"):
            assert (figure(returns) is None) == (told["drawdowns"].value is None)
        else:
            assert figure(returns) == told["drawdowns" if name == "drawdown_count" else name].value


NO_TRADES = dict.fromkeys(TRADE_FIGURES, "no trades")
UNDEFINED_OF_TRADES: dict[str, tuple[Sequence[float], dict[str, str]]] = {
    "no trades": ((), NO_TRADES),
    "one trade, won": (
        (10,),
        {"profit_factor": "no trade was lost", "average_loss": "no trade was lost"},
    ),
    "one trade, lost": ((-10,), {"average_win": "no trade was won"}),
    "all wins": ((10, 20), {"profit_factor": "no trade was lost", "average_loss": "no trade was lost"}),
    "all losses equal": ((-10, -10, -10), {"average_win": "no trade was won"}),
    "all of them 0": (
        (0, 0),
        dict.fromkeys(
            ("win_rate", "profit_factor", "expectancy", "average_win", "average_loss"),
            "no trade was won or lost: every P&L is 0",
        ),
    ),
}


@pytest.mark.parametrize("case", UNDEFINED_OF_TRADES)
def test_figures_of_trades_say_why_there_is_none(case: str) -> None:
    pnl, expected = UNDEFINED_OF_TRADES[case]
    told = describe((), pnl=pnl)
    assert {name: told[name].reason for name in TRADE_FIGURES if told[name].value is None} == expected


@pytest.mark.parametrize(
    ("equity", "reason"),
    [
        ((), "no days"),
        ((100,), "1 day, 2 are needed"),
        ((100, 100, 110), "there was no drawdown"),
        ((100, 90, 95), "the deepest drawdown is open, 1 day after its low"),
        # A smaller one that was made good does not stand for it.
        ((100, 99, 100, 50, 60, 70), "the deepest drawdown is open, 2 days after its low"),
        ((-5, 10), "equity[0]=-5: a drawdown is a share of a high above 0"),
        ((0, 10), "equity[0]=0: a drawdown is a share of a high above 0"),
    ],
)
def test_recovery_is_not_told_while_a_drawdown_is_open(equity: Sequence[float], reason: str) -> None:
    assert recovery_days(equity) is None
    assert describe((), equity=equity)["recovery_days"].reason == reason


@pytest.mark.parametrize(
    ("returns", "benchmark", "reason"),
    [
        ((), (), "no returns"),
        ((0.1, 0.2), (0.1, 0.2), "2 returns, 3 are needed"),
        ((0.1, 0.2, 0.3), (0.1, 0.1, 0.1), "all returns of the benchmark are alike: they have no variance"),
    ],
)
def test_nothing_is_said_beside_a_benchmark_that_says_nothing(
    returns: Sequence[float], benchmark: Sequence[float], reason: str
) -> None:
    assert alpha_beta(returns, benchmark) == AlphaBeta(alpha=None, beta=None)
    told = describe(returns, benchmark=benchmark)
    assert (told["alpha"].reason, told["beta"].reason) == (reason, reason)


def test_alpha_below_everything_is_not_compounded_and_beta_stands() -> None:
    returns, benchmark = (-1.4, -1.2, -1.6), (0.0, 0.1, -0.1)
    assert alpha_beta(returns, benchmark) == AlphaBeta(alpha=None, beta=pytest.approx(2.0))
    reason = "-1.4 per period: a loss of more than everything can't be compounded"
    assert describe(returns, benchmark=benchmark)["alpha"].reason == reason


@pytest.mark.parametrize("n", [0, 1])
def test_a_sharpe_ratio_of_one_return_proves_nothing(n: int) -> None:
    assert sharpe_standard_error(sharpe=0.1, n=n) is None
    assert probabilistic_sharpe_ratio(sharpe=0.1, benchmark_sharpe=0, n=n) is None
    assert deflated_sharpe_ratio(sharpe=0.1, n=n, trials=3, sharpe_variance=0.1) is None


def test_a_sharpe_ratio_without_variance_proves_nothing() -> None:
    """Returns of two values: 1 - g3 SR + (g4 - 1) / 4 SR^2 is (1 - g3 SR / 2)^2, and 0 at SR = 2 / g3."""
    assert sharpe_standard_error(sharpe=1, n=10, skewness=2, kurtosis=5) is None
    assert probabilistic_sharpe_ratio(sharpe=1, benchmark_sharpe=0, n=10, skewness=2, kurtosis=5) is None


def test_no_track_record_is_long_enough_for_what_is_not_above_the_benchmark() -> None:
    assert minimum_track_record_length(sharpe=0.1, benchmark_sharpe=0.1) is None
    assert minimum_track_record_length(sharpe=-0.1) is None


NOT_NUMBERS = [
    (math.nan, "=nan: must be finite"),
    (math.inf, "=inf: must be finite"),
    (-math.inf, "=-inf: must be finite"),
    (Decimal("NaN"), "=NaN: must be finite"),
    (Decimal("sNaN"), "=sNaN: must be finite"),
    (Decimal("1e400"), "=1E+400: must be finite"),
    (np.float64("nan"), "=nan: must be finite"),
    (None, "=None: must be a number, not NoneType"),
    ("0.1", "='0.1': must be a number, not str"),
    (True, "=True: must be a number, not bool"),
    (1j, "=1j: must be a number, not complex"),
]


@pytest.mark.parametrize(("value", "message"), NOT_NUMBERS)
def test_what_is_no_finite_number_is_refused_by_name_and_position(value: Any, message: str) -> None:
    for figure in (*OF_RETURNS, describe):
        assert refusal(figure, (0.1, value, 0.2)) == f"returns[1]{message}"
    for figure in OF_TRADES:
        assert refusal(figure, (0.1, value, 0.2)) == f"pnl[1]{message}"
    assert refusal(recovery_days, (1, 2, value)) == f"equity[2]{message}"
    for figure in (alpha, beta, alpha_beta):
        assert refusal(figure, (0.1, 0.2, 0.3), (value, 0.1, 0.2)) == f"benchmark[0]{message}"
        assert refusal(figure, (value, 0.1, 0.2), (0.1, 0.2, 0.3)) == f"returns[0]{message}"


def test_a_number_beyond_every_float_is_refused_as_a_whole_number_too() -> None:
    assert refusal(total_return, (10**400,)) == f"returns[0]={10**400}: must be finite"


def test_a_text_is_no_sequence_of_numbers() -> None:
    assert refusal(total_return, "12") == "returns='12': must be a sequence of numbers, not str"
    assert refusal(total_return, None) == "returns=None: must be a sequence of numbers, not NoneType"
    assert refusal(describe, 0.1) == "returns=0.1: must be a sequence of numbers, not float"


def test_a_benchmark_of_other_periods_is_refused() -> None:
    assert refusal(alpha_beta, (0.1, 0.2), (0.1,)) == "benchmark: 1 returns beside 2, must be as many"


SHARPE = {"sharpe": 0.1, "n": 10}
BEST = {**SHARPE, "trials": 5, "sharpe_variance": 0.1}


@pytest.mark.parametrize(
    ("figure", "options", "message"),
    [
        (annual_return, {"periods_per_year": 0}, "periods_per_year=0: must be above 0"),
        (annual_volatility, {"periods_per_year": -12}, "periods_per_year=-12: must be above 0"),
        (sharpe_ratio, {"periods_per_year": math.nan}, "periods_per_year=nan: must be finite"),
        (sharpe_ratio, {"risk_free": math.inf}, "risk_free=inf: must be finite"),
        (sortino_ratio, {"required_return": None}, "required_return=None: must be a number, not NoneType"),
        (downside_risk, {"required_return": math.nan}, "required_return=nan: must be finite"),
        (omega_ratio, {"required_return": math.nan}, "required_return=nan: must be finite"),
        (calmar_ratio, {"periods_per_year": 0}, "periods_per_year=0: must be above 0"),
        (value_at_risk, {"cutoff": 0}, "cutoff=0: must be above 0 and below 1"),
        (value_at_risk, {"cutoff": 5}, "cutoff=5: must be above 0 and below 1"),
        (conditional_value_at_risk, {"cutoff": 1}, "cutoff=1: must be above 0 and below 1"),
        # Also where the returns alone would already leave them without a figure.
        (describe, {"periods_per_year": 0}, "periods_per_year=0: must be above 0"),
        (describe, {"cutoff": 0}, "cutoff=0: must be above 0 and below 1"),
        (describe, {"risk_free": math.nan}, "risk_free=nan: must be finite"),
        (describe, {"required_return": math.nan}, "required_return=nan: must be finite"),
        (describe, {"benchmark_sharpe": math.nan}, "benchmark_sharpe=nan: must be finite"),
        (describe, {"confidence": 95}, "confidence=95: must be above 0.5 and below 1"),
        (describe, {"trials": 0, "sharpe_variance": 0.1}, "trials=0: must be at least 1"),
        (describe, {"trials": 3, "sharpe_variance": math.nan}, "sharpe_variance=nan: must be finite"),
        (describe, {"trials": 3}, "trials=3, sharpe_variance=None: must be given together"),
    ],
)
@pytest.mark.parametrize("returns", [(), (0.01, -0.02, 0.03, 0.01)])
def test_options_that_make_no_sense_are_refused(
    returns: Sequence[float], figure: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    assert refusal(figure, returns, **options) == message


@pytest.mark.parametrize(
    ("figure", "options", "message"),
    [
        (probabilistic_sharpe_ratio, {**SHARPE, "benchmark_sharpe": math.nan}, "benchmark_sharpe=nan: must be finite"),
        (probabilistic_sharpe_ratio, {"sharpe": 1, "benchmark_sharpe": 0, "n": -1}, "n=-1: must be at least 0"),
        (sharpe_standard_error, {"sharpe": 1, "n": 2.5}, "n=2.5: must be a whole number, not float"),
        (sharpe_standard_error, {"sharpe": 1, "n": True}, "n=True: must be a whole number, not bool"),
        (sharpe_standard_error, {"sharpe": math.nan, "n": 9}, "sharpe=nan: must be finite"),
        # An excess kurtosis, where 0 is normal.
        (
            sharpe_standard_error,
            {**SHARPE, "kurtosis": 0},
            "kurtosis=0: must be at least skewness^2 + 1 = 1 (raw: 3 is normal)",
        ),
        (deflated_sharpe_ratio, {**BEST, "trials": 0}, "trials=0: must be at least 1"),
        (deflated_sharpe_ratio, {**BEST, "trials": 2.0}, "trials=2.0: must be a whole number, not float"),
        (deflated_sharpe_ratio, {**BEST, "sharpe_variance": -0.1}, "sharpe_variance=-0.1: must not be below 0"),
        (
            minimum_track_record_length,
            {"sharpe": 1, "confidence": 0.5},
            "confidence=0.5: must be above 0.5 and below 1",
        ),
        (
            minimum_track_record_length,
            {"sharpe": 1, "skewness": 2},
            "kurtosis=3: must be at least skewness^2 + 1 = 5 (raw: 3 is normal)",
        ),
    ],
)
def test_moments_and_counts_that_can_not_be_are_refused(
    figure: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    assert refusal(figure, **options) == message


def test_every_kind_of_number_is_taken() -> None:
    cents = (Decimal("0.02"), Decimal("-0.02"), Decimal("0.03"), Decimal("0.01"))
    floats = [0.02, -0.02, 0.03, 0.01]
    expected = describe(floats, pnl=floats, equity=[1, 2, 1, 3], benchmark=floats)
    assert describe(cents, pnl=cents, equity=[Decimal(1), 2, 1.0, 3], benchmark=cents) == expected
    array = np.array(floats)
    assert describe(array, pnl=array, equity=np.array([1, 2, 1, 3]), benchmark=array) == expected  # type: ignore[arg-type]


def test_what_can_be_read_once_is_read_once() -> None:
    values, market = [0.02, -0.02, 0.03, 0.01], [0.01, -0.01, 0.02, 0.02]
    assert alpha_beta(iter(values), iter(market)) == alpha_beta(values, market)
    assert longest_streaks(iter(values)) == longest_streaks(values)
    expected = describe(values, pnl=values, equity=[1, 2, 1, 3], benchmark=market)
    assert describe(iter(values), pnl=iter(values), equity=iter([1, 2, 1, 3]), benchmark=iter(market)) == expected


def test_every_figure_is_a_float_and_counts_of_numpy_are_counts() -> None:
    found = describe([0.02, -0.02, 0.03, 0.01], pnl=[1, -1, 2], equity=[1, 2, 1, 3], benchmark=[0.1, 0.2, 0.3, 0.1])
    assert {type(each.value) for each in found.values()} == {float, NoneType}
    n = np.int64(50)
    assert probabilistic_sharpe_ratio(sharpe=0.1, benchmark_sharpe=0.0, n=n) == probabilistic_sharpe_ratio(
        sharpe=0.1, benchmark_sharpe=0.0, n=50
    )


def test_a_description_names_estimator_options_and_n_and_can_be_stored() -> None:
    told = describe(
        (0.01, -0.02, 0.03, 0.01),
        pnl=(5, -2, 0, 3),
        equity=(1, 2, 1, 3),
        benchmark=(0.01, 0.0, 0.02, 0.01),
        risk_free=0.0001,
        periods_per_year=12,
        required_return=0.002,
        cutoff=0.1,
        benchmark_sharpe=0.05,
        trials=7,
        sharpe_variance=0.1,
        confidence=0.9,
    )
    assert {name: each.n for name, each in told.items() if each.n != 4} == {
        "win_rate": 3,
        "profit_factor": 3,
        "expectancy": 3,
        "average_win": 2,
        "average_loss": 1,
    }
    said = {name: each.estimator for name, each in told.items()}
    assert said["sharpe_ratio"] == "mean(r - 0.0001) / std(r, ddof=1) sqrt(12)"
    assert said["sortino_ratio"] == "mean(r - 0.002) / downside deviation over all n below it, sqrt(12)"
    assert said["value_at_risk"] == "historical: percentile 0.1 of r, linear"
    assert said["alpha"] == "(1 + mean(r - 0.0001 - beta (b - 0.0001)))^12 - 1"
    assert said["probabilistic_sharpe_ratio"] == "Phi((SR - SR*) / standard error of SR), SR* = 0.05, per period"
    assert said["deflated_sharpe_ratio"].endswith("the best of 7 trials expected without any skill")
    assert said["minimum_track_record_length"].endswith("z at 0.9, SR* = 0.05, per period")
    assert not [name for name, text in said.items() if "{" in text or not text]
    stored = json.loads(json.dumps({name: asdict(each) for name, each in told.items()}, allow_nan=False))
    assert stored["win_rate"] == {
        "value": 2 / 3,
        "unit": "fraction",
        "n": 3,
        "estimator": "trades won / (trades won + trades lost)",
        "reason": "",
    }


def test_a_description_uses_the_moments_of_the_returns() -> None:
    returns = (0.01, -0.02, 0.03, 0.01, 0.02, -0.01)
    told = describe(returns, risk_free=0.001, benchmark_sharpe=0.1, trials=5, sharpe_variance=0.04, confidence=0.9)
    sample = {
        "sharpe": sharpe_ratio(returns, risk_free=0.001, periods_per_year=1),
        "skewness": skewness(returns),
        "kurtosis": kurtosis(returns),
    }
    assert told["probabilistic_sharpe_ratio"].value == probabilistic_sharpe_ratio(**sample, benchmark_sharpe=0.1, n=6)
    assert told["deflated_sharpe_ratio"].value == deflated_sharpe_ratio(**sample, n=6, trials=5, sharpe_variance=0.04)
    length = minimum_track_record_length(**sample, benchmark_sharpe=0.1, confidence=0.9)
    assert told["minimum_track_record_length"].value == length


def test_a_changed_definition_needs_a_new_version() -> None:
    """Whoever changes a figure here raises VERSION: what is stored must not be compared with what is not the same."""
    returns = (0.01, -0.02, 0.03, 0.01, -0.005, 0.004)
    benchmark = (0.005, -0.01, 0.02, 0.015, 0.0, -0.002)
    told = describe(
        returns, pnl=(5, -2, 0, 3, 4), equity=(10, 9, 8, 11), benchmark=benchmark, trials=3, sharpe_variance=0.02
    )
    assert VERSION == 1
    assert {name: None if each.value is None else float(f"{each.value:.9g}") for name, each in told.items()} == {
        "total_return": 0.0286386573,
        "annual_return": 2.27370351,
        "annual_volatility": 0.265710369,
        "sharpe_ratio": 4.58393854,
        "downside_risk": 0.133603892,
        "sortino_ratio": 9.11650088,
        "max_drawdown": -0.02,
        "drawdowns": 2,
        "calmar_ratio": 113.685175,
        "omega_ratio": 2.16,
        "tail_ratio": 1.53846154,
        "stability": 0.532307348,
        "value_at_risk": -0.01625,
        "conditional_value_at_risk": -0.02,
        "skewness": -0.00236191798,
        "kurtosis": 2.422321,
        "probabilistic_sharpe_ratio": 0.737648991,
        "deflated_sharpe_ratio": 0.644469994,
        "minimum_track_record_length": 34.4313869,
        "alpha": -0.328693098,
        "beta": 1.37433155,
        "win_rate": 0.75,
        "profit_factor": 6,
        "expectancy": 2.5,
        "average_win": 4,
        "average_loss": -2,
        "longest_win_streak": 2,
        "longest_loss_streak": 1,
        "recovery_days": 1,
    }


def test_every_figure_is_documented_with_its_arguments() -> None:
    text = " ".join((PROJECT / "docs/performance.md").read_text().split())
    figures = [getattr(performance, name) for name in performance.__all__]
    functions = [each for each in figures if callable(each) and not inspect.isclass(each)]
    assert len(functions) > 30
    for function in functions:
        arguments = inspect.signature(function).parameters.values()
        shown = [
            (argument.name if argument.kind is not argument.KEYWORD_ONLY else f"{argument.name}=…")
            if argument.default is argument.empty
            else f"{argument.name}={argument.default}"
            for argument in arguments
        ]
        assert f"`{function.__name__}({', '.join(shown)})`" in text, function.__name__
    assert repr(describe([0.01, 0.01, 0.01])["sharpe_ratio"]) in text


def test_help_says_that_a_figure_may_be_none() -> None:
    for figure in (sharpe_ratio, max_drawdown, win_rate, deflated_sharpe_ratio):
        assert inspect.signature(figure).return_annotation == "float | None"


def test_every_figure_that_is_exported_is_in_a_description() -> None:
    shapes = {"alpha_beta", "describe", "drawdown_count", "longest_streaks", "underwater"}
    # What these two say is about a Sharpe ratio, and in figures that are described.
    inputs = {"sharpe_standard_error", "expected_best_sharpe"}
    figures = {name for name in performance.__all__ if name.islower()}
    assert describe(()).keys() == figures - shapes - inputs


def test_figures_need_the_standard_library_alone() -> None:
    """`manage.py` would pay for NumPy or pandas with a second at each start: here no installed package can be found."""
    code = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); import reporting.performance"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=60)


def refusal(figure: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        figure(*args, **options)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)
