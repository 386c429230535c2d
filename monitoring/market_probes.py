"""The probe of market data by symbol."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connections

from emo_site.db.aliases import database_of
from emo_site.db.distinct import distinct_values
from emo_site.db.health import models_asked_within
from emo_site.display import age
from monitoring import market_hours, shards
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.heard import last_heard
from monitoring.models import MarketEvent
from monitoring.probes import not_asked

_NAMED = 8
# As many as are looked through; more would take seconds on a server with many chunks.
MOST_SYMBOLS = 2000
# An option is quoted when somebody asks, and not all the time.
_OPTION = re.compile(r"[0-9]{6}[CP][0-9]{8}$")


@dataclass(frozen=True, kw_only=True)
class SymbolsProbe:
    """While New York trades, 09:30 to 16:00 from Monday to Friday: which symbols went silent?

    Followed are those that were heard of within `followed_days`, which spans a long weekend; options are left out.
    """

    warn_silent_minutes: float = 15
    followed_days: float = 4
    answer_seconds: float = 5
    name = "market data by symbol"
    critical = False

    def run(self) -> Finding:
        now = datetime.now(UTC)
        limit = timedelta(minutes=self.warn_silent_minutes)
        session = market_hours.open_for(now)
        if session is None or session < limit:
            return Finding(
                status=HealthStatus.HEALTHY,
                message="New York is closed" if session is None else f"New York opened {age(session)} ago",
            )
        alias = database_of("monitoring")
        try:
            with models_asked_within(alias, self.answer_seconds):
                heard = {
                    symbol: last
                    for home in shards.holding(alias)
                    for symbol, last in _heard(home, now - timedelta(days=self.followed_days), now).items()
                }
        except DatabaseError as error:
            return not_asked(alias, error)
        return _judged(heard, now, limit, self.followed_days)


def _heard(alias: str, since: datetime, now: datetime) -> dict[str, datetime]:
    """Of what trades and is no option, in one database: over all shards at once each symbol would be a round trip."""
    with shards.named(alias):
        named = [
            each
            for each in distinct_values(MarketEvent, "symbol", using=alias, limit=MOST_SYMBOLS)
            if each and not _OPTION.search(each)
        ]
        return last_heard(connections[alias], named, since=since, at=now)


def _judged(heard: Mapping[str, datetime], now: datetime, limit: timedelta, days: float) -> Finding:
    if not heard:
        return Finding(
            status=HealthStatus.UNKNOWN,
            message=f"no symbol was heard of in the last {days:g} days",
            remedy="Import or ingest market data: rules that need a price block until then.",
            metrics={"followed": 0, "silent": []},
        )
    silent = sorted(((at, symbol) for symbol, at in heard.items() if now - at > limit))
    metrics = {"followed": len(heard), "silent": [symbol for _, symbol in silent]}
    if not silent:
        oldest = now - min(heard.values())
        message = f"{len(heard)} symbols, each heard of within the last {age(oldest)}"
        return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
    named = ", ".join(f"{symbol} ({age(now - at)})" for at, symbol in silent[:_NAMED])
    more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
    return Finding(
        # One that is silent is perhaps not traded; all of them are a feed that stands still.
        status=HealthStatus.ERROR if len(silent) == len(heard) else HealthStatus.WARNING,
        message=f"{len(silent)} of {len(heard)} symbols silent for more than {age(limit)}: {named}{more}",
        remedy="Check the bot's market data feed, unless the exchange has a holiday or these are traded no more.",
        metrics=metrics,
    )
