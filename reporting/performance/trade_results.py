"""Figures of the P&L of closed trades, one number per trade, as they were closed. Pure. Money is in the P&L's currency.

A trade with a P&L of 0 was neither won nor lost: it is left out of the rates and averages, and ends a streak.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from reporting.performance.estimate import Undefined, measure
from reporting.performance.observations import longest_run, mean, need, numbers
from reporting.performance.returns import Numbers


class Streaks(NamedTuple):
    """The most trades in a row; None without trades."""

    wins: float | None
    losses: float | None


@measure("fraction", "trades won / (trades won + trades lost)")
def win_rate(pnl: Numbers) -> float:
    results = _decided(pnl)
    return len(_won(results)) / len(results)


@measure("ratio", "sum of gains / |sum of losses|")
def profit_factor(pnl: Numbers) -> float:
    results = _decided(pnl)
    return fsum(_won(results)) / -fsum(_some(_lost(results), "lost"))


@measure("money", "win rate x average win + (1 - win rate) x average loss = mean of the trades won or lost")
def expectancy(pnl: Numbers) -> float:
    return mean(_decided(pnl))


@measure("money", "mean of the trades won")
def average_win(pnl: Numbers) -> float:
    return mean(_some(_won(_decided(pnl)), "won"))


@measure("money", "mean of the trades lost, with its sign")
def average_loss(pnl: Numbers) -> float:
    return mean(_some(_lost(_decided(pnl)), "lost"))


@measure("trades", "most trades won in a row")
def longest_win_streak(pnl: Numbers) -> float:
    results = numbers("pnl", pnl)
    need(1, len(results), "trade")
    return longest_run([each > 0 for each in results])


@measure("trades", "most trades lost in a row")
def longest_loss_streak(pnl: Numbers) -> float:
    results = numbers("pnl", pnl)
    need(1, len(results), "trade")
    return longest_run([each < 0 for each in results])


def longest_streaks(pnl: Numbers) -> Streaks:
    results = numbers("pnl", pnl)
    return Streaks(longest_win_streak(results), longest_loss_streak(results))


def _decided(pnl: Numbers) -> list[float]:
    results = numbers("pnl", pnl)
    need(1, len(results), "trade")
    decided = [each for each in results if each]
    if not decided:
        raise Undefined("no trade was won or lost: every P&L is 0")
    return decided


def _won(results: Sequence[float]) -> list[float]:
    return [each for each in results if each > 0]


def _lost(results: Sequence[float]) -> list[float]:
    return [each for each in results if each < 0]


def _some(results: list[float], what: str) -> list[float]:
    if not results:
        raise Undefined(f"no trade was {what}")
    return results
