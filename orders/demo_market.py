"""What the market of the demo's month did: made up, and the same each time. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random

from orders.options import black_scholes, parse_osi
from orders.standing import TRADING_ZONE

VOLATILITY = 0.17
_OPEN, _HALF_HOURS = time(9, 30), 14
# In hundredths of a percent: from one half hour to the next, and from a close to the next day's open.
_WITHIN, _OVERNIGHT = (-16, 17), (-45, 48)
_CENT = Decimal("0.01")
_YEAR = timedelta(days=365).total_seconds()


class DemoMarket:
    """Prices of stocks on trading days, in a straight line from one half hour to the next, that end with `last`; and of
    options on them, by Black and Scholes.
    """

    def __init__(self, days: Sequence[date], last: Mapping[str, Decimal]) -> None:
        self._times = [half_hour for day in days for half_hour in _half_hours(day)]
        self._levels = {symbol: self._walk(symbol, float(price)) for symbol, price in last.items()}

    def _walk(self, symbol: str, last: float) -> list[float]:
        """From the end to the beginning, so that the month leads to where the desk's demo stands today."""
        steps = Random(symbol)  # noqa: S311  # no secret: the same month for everybody
        found = [last]
        for place in range(len(self._times) - 1, 0, -1):
            bounds = _OVERNIGHT if place % _HALF_HOURS == 0 else _WITHIN
            found.append(found[-1] / (1 + steps.randint(*bounds) / 10_000))
        return found[::-1]

    def price(self, symbol: str, at: datetime) -> Decimal:
        """Of a stock, or of an option by its OSI symbol: to the cent."""
        if symbol not in self._levels:
            return self._option(symbol, at)
        return Decimal(self._level(symbol, at)).quantize(_CENT)

    def bid_ask(self, symbol: str, at: datetime) -> tuple[Decimal, Decimal]:
        """Two cents apart for a stock; for an option 3 % of its price, and two cents at least."""
        middle = self.price(symbol, at)
        half = _CENT if symbol in self._levels else max(_CENT, (middle * 3 / 200).quantize(_CENT))
        return max(Decimal(0), middle - half), middle + half

    def _level(self, symbol: str, at: datetime) -> float:
        levels, place = self._levels[symbol], bisect_right(self._times, at)
        if place in (0, len(levels)):
            return levels[min(place, len(levels) - 1)]
        before, after = self._times[place - 1], self._times[place]
        return levels[place - 1] + (levels[place] - levels[place - 1]) * ((at - before) / (after - before))

    def _option(self, symbol: str, at: datetime) -> Decimal:
        option = parse_osi(symbol)
        spot = self._level(option.root.strip(), at)
        years = max(0.0, (moment(option.expiry, "16:00") - at).total_seconds() / _YEAR)
        worth = black_scholes(option.right, spot, float(option.strike), years, 0.0, VOLATILITY)
        return max(_CENT, Decimal(worth).quantize(_CENT))


def moment(day: date, clock: str) -> datetime:
    """New York's "10:05" or "10:05:30" of a day."""
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=TRADING_ZONE)


def trading_days(until: date, number: int) -> list[date]:
    """So many weekdays, the last of them the one before `until`. Holidays of the exchanges are not known here."""
    days: list[date] = []
    while len(days) < number:
        until -= timedelta(days=1)
        if until.weekday() < 5:
            days.append(until)
    return days[::-1]


def _half_hours(day: date) -> list[datetime]:
    opened = datetime.combine(day, _OPEN, tzinfo=TRADING_ZONE)
    return [opened + timedelta(minutes=30) * place for place in range(_HALF_HOURS)]
