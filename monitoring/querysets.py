"""Named questions about market events and recorded health."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, models

from monitoring import bars, market_facts, prices, shards
from monitoring.bars import Bar
from monitoring.choices import PRICE_TYPES, EventType
from monitoring.market_facts import MarketFacts
from monitoring.prices import LatestPrice

if TYPE_CHECKING:
    from monitoring.models import MarketEvent, SystemHealth  # noqa: F401  # named in texts below


class MarketEventQuerySet(models.QuerySet["MarketEvent"]):
    def latest_price(self, symbol: str, *, at: datetime) -> MarketEvent | None:
        """The last event at or before `at` whose price is one the symbol could be traded at."""
        return self.filter(event_type__in=PRICE_TYPES, price__gt=0)._latest(symbol, at)

    def latest_prices(self, symbols: Iterable[str], *, at: datetime) -> dict[str, LatestPrice]:
        """`latest_price` of many symbols at once; a symbol that has none is left out.

        Asks all events: on a filtered queryset it raises TypeError instead of forgetting the filter.
        """
        _require_zone("at", at)
        self._require_all("latest_prices")
        found: dict[str, LatestPrice] = {}
        for alias, asked in shards.homes(symbols, using=self.db).items():
            with shards.named(alias):
                found |= prices.latest(connections[alias], asked, at)
        return found

    def facts(
        self,
        *,
        symbols: Sequence[str],
        underlyings: Sequence[str],
        at: datetime,
        since: datetime,
        quoted: Sequence[str] = (),
    ) -> MarketFacts:
        """What the rules of some orders see of the market and the account at `at`; see market_facts.py. `quoted` are
        symbols of which the last bid and ask are wanted too.
        """
        _require_zone("at", at)
        self._require_all("facts")
        if not shards.is_spread(self.db):
            return market_facts.gather(
                self, symbols=symbols, underlyings=underlyings, quoted=quoted, at=at, since=since
            )
        # Those of the account have no symbol.
        parts = shards.homes(dict.fromkeys(["", *symbols, *underlyings, *quoted]), using=self.db)
        return market_facts.merged(
            self._facts_of(
                alias,
                symbols=[each for each in symbols if each in theirs],
                underlyings=[each for each in underlyings if each in theirs],
                quoted=[each for each in quoted if each in theirs],
                at=at,
                since=since,
            )
            for alias, theirs in parts.items()
        )

    def _facts_of(self, alias: str, **asked: Any) -> MarketFacts:
        with shards.named(alias):
            return market_facts.gather(self.using(alias), **asked)

    def ohlcv(self, symbol: str, start: datetime, end: datetime, bucket: timedelta) -> list[Bar]:
        """Open, high, low, close, volume and number of trades of each bucket of [start, end), oldest first.

        Only events of type trade with a price above 0 count: quotes and other programs' bars are no trades. Buckets
        are counted from Monday 2000-01-03 00:00 UTC, so the first and the last one hold a part of their trades where
        start or end lies inside them. A bucket without trades has no bar. `bucket` is whole seconds, from one second
        to 366 days: else InvalidBucket. Prices and volumes are exact; SQLite keeps 15 digits of each. Asks all events,
        as latest_prices() does.
        """
        _require_zone("start", start)
        _require_zone("end", end)
        self._require_all("ohlcv")
        alias = shards.home(symbol, using=self.db)
        with shards.named(alias):
            return bars.of_trades(connections[alias], symbol, start, end, bucket)

    def latest_of(self, event_type: EventType, symbol: str, *, at: datetime) -> MarketEvent | None:
        """The last event of one type for the symbol at or before `at`."""
        return self.filter(event_type=event_type)._latest(symbol, at)

    def latest_option_quotes(self, symbols: Iterable[str], *, at: datetime) -> dict[str, MarketEvent]:
        """The last option quote of each padded OSI symbol at or before `at`, in one query (to each shard, where events
        are spread over several); one without is left out.
        """
        _require_zone("at", at)
        found: dict[str, MarketEvent] = {}
        for alias, theirs in shards.homes(symbols, using=self.db).items():
            with shards.named(alias):
                found |= self.using(alias)._latest_option_quotes(theirs, at)
        return found

    def _latest_option_quotes(self, symbols: Iterable[str], at: datetime) -> dict[str, MarketEvent]:
        quotes = self.filter(event_type=EventType.OPTION_QUOTE)
        wanted = models.Q()
        for symbol in dict.fromkeys(symbols):
            times = quotes.filter(symbol=symbol, timestamp__lte=at).order_by("-timestamp").values("timestamp")[:1]
            wanted |= models.Q(symbol=symbol, timestamp=models.Subquery(times))
        if not wanted:
            return {}
        # Of several at one time the one with the highest id is the last.
        return {event.symbol: event for event in quotes.filter(wanted).order_by("id")}

    def newest(self) -> MarketEvent | None:
        return self.order_by("-timestamp", "-id").first()

    def _require_all(self, name: str) -> None:
        if self.query.where or self.query.is_sliced or self.query.distinct or self.query.combinator:
            raise TypeError(f"{name}() asks all events: it can't be asked of a filtered queryset")

    def newest_of(self, symbol: str, at: datetime) -> MarketEventQuerySet:
        """Those of the symbol's events that share its last time at or before `at`, by id, newest first."""
        # The time first, then the row: ordered by time and id at once, TimescaleDB walks the index of times through
        # every other symbol's events.
        there = self.using(shards.home(symbol, using=self.db))
        events = there.filter(symbol=symbol, timestamp__lte=at)
        times = events.order_by("-timestamp").values("timestamp")[:1]
        return events.filter(timestamp=models.Subquery(times)).order_by("-id")

    def _latest(self, symbol: str, at: datetime) -> MarketEvent | None:
        return self.newest_of(symbol, at).first()


class SystemHealthQuerySet(models.QuerySet["SystemHealth"]):
    def since(self, start: datetime) -> SystemHealthQuerySet:
        return self.filter(timestamp__gte=start).order_by("timestamp", "id")


def _require_zone(name: str, moment: datetime) -> None:
    if moment.tzinfo is None:
        raise ValueError(f"{name}={moment!r}: needs a time zone")
