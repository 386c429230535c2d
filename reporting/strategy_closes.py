"""A symbol's daily closes, as a benchmark needs them: the last trade of each day in New York."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

from monitoring.models import MarketEvent
from orders.standing import trading_day
from reporting.strategy_benchmark import LONGEST_GAP
from reporting.strategy_days import end_of, start_of

# Days of New York begin at whole hours of UTC, and not at its days.
_BUCKET = timedelta(hours=1)


def closes(symbol: str, *, first: date, last: date, now: datetime) -> dict[date, Decimal]:
    """By day, from a little before `first`, whose own return needs an older one. Days without a trade are left out."""
    until = min(end_of(last), now)
    bars = MarketEvent.objects.ohlcv(symbol, start_of(first - LONGEST_GAP), until, _BUCKET)
    return {trading_day(bar.start): bar.close for bar in bars}
