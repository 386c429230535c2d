"""Long series of real markets, from files that the package arch ships: no network."""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Market:
    """Returns by period, each with the day that it ended on."""

    name: str
    days: tuple[date, ...]
    returns: tuple[float, ...]
    periods_per_year: int


def _rows(file: str) -> list[dict[str, str]]:
    # The package itself is not imported: that would take statsmodels and seconds.
    spec = find_spec("arch")
    assert spec is not None
    assert spec.origin is not None
    with gzip.open(Path(spec.origin).parent / "data" / file, "rt") as lines:
        return list(csv.DictReader(lines))


def _of_prices(name: str, file: str, column: str) -> Market:
    prices = [
        (datetime.strptime(row["Date"], "%m/%d/%Y").date(), float(row[column]))  # noqa: DTZ007  # a day has no zone
        for row in _rows(file)
        if row[column] != "."  # a day without a price
    ]
    return Market(
        name=name,
        days=tuple(day for day, _ in prices[1:]),
        returns=tuple(after / before - 1 for (_, before), (_, after) in pairwise(prices)),
        periods_per_year=252,
    )


@cache
def sp500() -> Market:
    return _of_prices("S&P 500, 1999 to 2018, by day", "sp500/sp500.csv.gz", "Adj Close")


@cache
def nasdaq() -> Market:
    return _of_prices("Nasdaq Composite, 1999 to 2018, by day", "nasdaq/nasdaq.csv.gz", "Adj Close")


@cache
def oil() -> Market:
    return _of_prices("WTI oil, 1986 to 2019, by day", "wti/wti.csv.gz", "DCOILWTICO")


@cache
def shares() -> Market:
    """The market of Fama and French: what is above the risk-free rate, and the rate, in percent."""
    rows = _rows("frenchdata/frenchdata.csv.gz")
    return Market(
        name="American shares, 1926 to 2018, by month",
        days=tuple(datetime.strptime(row["Date"], "%Y%m").date() for row in rows),  # noqa: DTZ007  # a day has no zone
        returns=tuple((float(row["Mkt-RF"]) + float(row["RF"])) / 100 for row in rows),
        periods_per_year=12,
    )


MARKETS = (sp500, nasdaq, oil, shares)
