"""Latest prices and bars: the same, exact answers on every engine, found through an index."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from emo_site.db.buckets import ORIGIN, InvalidBucket, whole_seconds
from emo_site.db.uuid7 import uuid7
from monitoring import bars, prices
from monitoring.bars import Bar
from monitoring.choices import PRICE_TYPES, EventType
from monitoring.models import MarketEvent
from monitoring.prices import LatestPrice
from tests.conftest import BACKEND

D = Decimal
MIDNIGHT = datetime(2025, 11, 3, tzinfo=UTC)
# Ties, microseconds that SQLite would round up into the next second, both sides of midnight, before the origin too.
MOMENTS = st.one_of(
    st.sampled_from([MIDNIGHT + timedelta(microseconds=each) for each in (-1, 0, 1, 999_999, 59_999_700, 60_000_000)]),
    st.datetimes(datetime(2025, 11, 2, 22), datetime(2025, 11, 4, 2), timezones=st.just(UTC)),  # noqa: DTZ001
    st.datetimes(datetime(1999, 12, 31), datetime(2000, 1, 4), timezones=st.just(UTC)),  # noqa: DTZ001
)
PRICES = st.one_of(
    st.none(),
    st.sampled_from([D(0), D(-1), D("400.1"), D("400.10"), D("0.000001"), D("999999999.999999")]),
    st.decimals(D("0.000001"), D("999999999"), places=6),
)
VOLUMES = st.one_of(st.none(), st.just(D(0)), st.decimals(D(0), D("999999999.999999"), places=6))
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "a'b"]),
        st.sampled_from([EventType.TRADE, EventType.TRADE, EventType.QUOTE, EventType.BAR, EventType.METRIC]),
        MOMENTS,
        PRICES,
        VOLUMES,
        st.integers(0, 2**62 - 1),
    ),
    max_size=40,
)
BUCKETS = st.one_of(
    st.sampled_from([timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)]),
    st.integers(1, 8 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
)
SYMBOLS = ["A", "B", "a'b", "none", "A"]


def stored(rows: list[tuple[Any, ...]]) -> list[MarketEvent]:
    events = {
        identifier: MarketEvent(
            id=identifier, symbol=symbol, event_type=kind, timestamp=at, price=price, volume=volume, source="test"
        )
        for symbol, kind, at, price, volume, tail in rows
        for identifier in [uuid7(at, tail=tail)]
    }
    MarketEvent.objects.bulk_create(events.values())
    return list(events.values())


def latest_by_hand(events: list[MarketEvent], at: datetime) -> dict[str, LatestPrice]:
    tradable = [
        each for each in events if each.event_type in PRICE_TYPES and (each.price or 0) > 0 and each.timestamp <= at
    ]
    newest = {each.symbol: each for each in sorted(tradable, key=lambda each: (each.timestamp, each.id))}
    return {symbol: LatestPrice(each.price, each.timestamp) for symbol, each in newest.items()}


def bars_by_hand(
    events: list[MarketEvent], symbol: str, start: datetime, end: datetime, bucket: timedelta
) -> list[Bar]:
    groups: dict[datetime, list[MarketEvent]] = defaultdict(list)
    for each in sorted(events, key=lambda each: (each.timestamp, each.id)):
        counts = each.symbol == symbol and each.event_type == "trade" and (each.price or 0) > 0
        if counts and start <= each.timestamp < end:
            groups[ORIGIN + (each.timestamp - ORIGIN) // bucket * bucket].append(each)
    made = []
    for moment in sorted(groups):
        four, volumes = [each.price for each in groups[moment]], [each.volume for each in groups[moment]]
        known = [each for each in volumes if each is not None]
        made.append(
            Bar(moment, four[0], max(four), min(four), four[-1], sum(known, D(0)) if known else None, len(four))
        )
    return made


REASONABLE = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# Both sides of what is read in another way from there on, and all that the columns hold.
EDGES = [D("999999999.999999"), D("1000000000"), D("1000000000.000001"), D("0.000001"), D("0.100005"), D("2e9"), D(0)]
FIGURES = st.one_of(
    st.sampled_from([*EDGES, D("999999999999.999999"), D("123456789012345678.123456")]),
    st.decimals(D("-1000000001"), D("1000000001"), places=6),
    st.decimals(D("-999999999999999999"), D("999999999999999999"), places=6),
)


@settings(max_examples=1000, deadline=None)
@given(figure=FIGURES, sign=st.sampled_from([1, -1]))
def test_a_figure_of_sqlite_is_read_as_django_reads_it(figure: Decimal, sign: int) -> None:
    stored = float(figure * sign)
    expected = Context(prec=15).create_decimal_from_float(stored).quantize(D("1e-6"))
    # SQLite keeps a float without a fraction as an integer.
    for each in (stored, int(stored)) if stored.is_integer() else (stored,):
        for found in (prices.decimal(each), *prices.decimals([1, each])[1:]):
            assert (found, found.as_tuple().exponent) == (expected, -6)
    if abs(figure) < D("1e9"):
        assert expected == figure * sign


class TestAgainstPlainPython(TestCase):
    @REASONABLE
    @given(rows=ROWS, at=MOMENTS)
    def test_latest_prices_are_what_sorting_all_rows_gives(self, rows: list[tuple[Any, ...]], at: datetime) -> None:
        events = stored(rows)
        found = MarketEvent.objects.latest_prices(SYMBOLS, at=at)
        assert found == latest_by_hand(events, at)
        for symbol in SYMBOLS:
            one = MarketEvent.objects.latest_price(symbol, at=at)
            assert (one and LatestPrice(one.price, one.timestamp)) == found.get(symbol)

    @REASONABLE
    @given(rows=ROWS, start=MOMENTS, end=MOMENTS, bucket=BUCKETS)
    def test_bars_are_what_grouping_all_rows_gives(
        self, rows: list[tuple[Any, ...]], start: datetime, end: datetime, bucket: timedelta
    ) -> None:
        events = stored(rows)
        for first, last in ((start, end), (MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=2))):
            for symbol in ("A", "a'b"):
                found = MarketEvent.objects.ohlcv(symbol, first, last, bucket)
                assert found == bars_by_hand(events, symbol, first, last, bucket)
                for bar in found:
                    assert bar.start.utcoffset() == timedelta(0)
                    assert {each.as_tuple().exponent for each in bar[1:5]} == {-6}


pytestmark = pytest.mark.django_db


def test_the_sum_of_volumes_is_exact_where_floats_are_not() -> None:
    tenth = [("A", "trade", MIDNIGHT + timedelta(seconds=each), D(1), D("0.1"), each) for each in range(10)]
    huge = [
        ("B", "trade", MIDNIGHT + timedelta(seconds=each), D(1), D("99999999999"), 1000 + each) for each in range(200)
    ]
    stored([*tenth, *huge])
    hour, end = timedelta(hours=1), MIDNIGHT + timedelta(hours=1)
    assert MarketEvent.objects.ohlcv("A", MIDNIGHT, end, hour)[0].volume == D("1.0")
    # In millionths it would not fit into 64 bits.
    assert MarketEvent.objects.ohlcv("B", MIDNIGHT, end, hour)[0].volume == D("19999999999800")


@pytest.mark.parametrize("tails", [[1, 2, 3], [3, 2, 1], [2, 3, 1]])
def test_of_events_of_one_time_the_greatest_id_is_the_latest(tails: list[int]) -> None:
    stored([("A", "trade", MIDNIGHT, D(tail), None, tail) for tail in tails])
    assert MarketEvent.objects.latest_prices(["A"], at=MIDNIGHT) == {"A": LatestPrice(D(3), MIDNIGHT)}
    latest = MarketEvent.objects.latest_price("A", at=MIDNIGHT)
    assert latest is not None
    assert latest.price == 3
    [bar] = MarketEvent.objects.ohlcv("A", MIDNIGHT, MIDNIGHT + timedelta(seconds=1), timedelta(seconds=1))
    assert (bar.open, bar.close) == (D(1), D(3))


def test_weeks_begin_on_mondays_and_the_end_is_not_included() -> None:
    wednesday = datetime(2025, 11, 5, 12, tzinfo=UTC)
    stored([("A", "trade", wednesday, D(1), None, 1), ("A", "trade", wednesday + timedelta(days=1), D(2), None, 2)])
    [bar] = MarketEvent.objects.ohlcv("A", wednesday, wednesday + timedelta(days=1), timedelta(days=7))
    assert (bar.start, bar.close, bar.volume, bar.trades) == (datetime(2025, 11, 3, tzinfo=UTC), D(1), None, 1)


def test_a_period_may_be_given_in_any_zone() -> None:
    stored([("A", "trade", MIDNIGHT, D(1), D(2), 1)])
    tokyo = timezone(timedelta(hours=9))
    period = [each.astimezone(tokyo) for each in (MIDNIGHT, MIDNIGHT + timedelta(minutes=1))]
    assert [bar.start for bar in MarketEvent.objects.ohlcv("A", *period, timedelta(minutes=1))] == [MIDNIGHT]
    assert list(MarketEvent.objects.latest_prices(["A"], at=period[0])) == ["A"]


@pytest.mark.parametrize(
    ("bucket", "message"),
    [
        (timedelta(seconds=0), "bucket='0:00:00': must be whole seconds, from 1 second to 366 days"),
        (timedelta(seconds=-60), "bucket='-1 day, 23:59:00': must be whole seconds, from 1 second to 366 days"),
        (timedelta(milliseconds=1500), "bucket='0:00:01.500000': must be whole seconds, from 1 second to 366 days"),
        (timedelta(days=367), "bucket='367 days, 0:00:00': must be whole seconds, from 1 second to 366 days"),
        (60, "bucket=60: must be a timedelta"),
    ],
)
def test_a_bucket_that_some_engine_can_not_make_is_refused(bucket: Any, message: str) -> None:
    with pytest.raises(InvalidBucket) as error:
        MarketEvent.objects.ohlcv("A", MIDNIGHT, MIDNIGHT, bucket)
    assert str(error.value) == message
    assert whole_seconds(timedelta(days=366)) == 366 * 86_400


def test_times_without_a_zone_and_filters_are_refused() -> None:
    naive = datetime(2025, 11, 3)  # noqa: DTZ001
    with pytest.raises(ValueError, match=r"^at=datetime\.datetime"):
        MarketEvent.objects.latest_prices(["A"], at=naive)
    with pytest.raises(ValueError, match=r"^start="):
        MarketEvent.objects.ohlcv("A", naive, MIDNIGHT, timedelta(minutes=1))
    with pytest.raises(ValueError, match=r"^end="):
        MarketEvent.objects.ohlcv("A", MIDNIGHT, naive, timedelta(minutes=1))
    filtered = MarketEvent.objects.filter(source="x")
    with pytest.raises(TypeError, match="it can't be asked of a filtered queryset"):
        filtered.latest_prices(["A"], at=MIDNIGHT)
    with pytest.raises(TypeError, match="it can't be asked of a filtered queryset"):
        filtered.ohlcv("A", MIDNIGHT, MIDNIGHT, timedelta(minutes=1))
    assert MarketEvent.objects.latest_prices([], at=MIDNIGHT) == {}


# ---- through an index --------------------------------------------------------------------------------------------


@pytest.fixture
def many() -> Iterator[None]:
    """Enough rows, over enough weeks, that walking through them all would be the worse plan; statistics fresh."""
    rows = [
        (f"S{number % 50:02}", "trade", MIDNIGHT + timedelta(minutes=3 * number), D(1 + number % 7), D(1), number)
        for number in range(10_000)
    ]
    stored(rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE market_events")
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS sqlite_stat1")


def plan_of(sql: str, parameters: list[Any]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"{'EXPLAIN QUERY PLAN' if BACKEND == 'sqlite' else 'EXPLAIN'} {sql}", parameters)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def assert_walks_the_index_of_symbols(plan: str) -> None:
    assert "market_events_symbol" in plan, plan
    assert "market_events_timestamp" not in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "SCAN market_events" not in plan, plan


def test_latest_prices_walk_the_index_of_symbols(many: None) -> None:
    symbols, at = [f"S{number:02}" for number in range(50)], MIDNIGHT + timedelta(days=20)
    assert len(MarketEvent.objects.latest_prices(symbols, at=at)) == 50
    if BACKEND == "sqlite":
        plan = plan_of(prices.LATEST_SQLITE, [json.dumps(symbols), str(at.replace(tzinfo=None))])
    else:
        plan = plan_of(prices.LATEST_POSTGRESQL, [symbols, at])
    assert_walks_the_index_of_symbols(plan)


def test_bars_walk_the_index_of_symbols(many: None) -> None:
    asked = [MIDNIGHT + timedelta(days=2), MIDNIGHT + timedelta(days=3)]
    sql, parameters = bars.statement(connection, "S07", *asked, timedelta(minutes=1))
    assert_walks_the_index_of_symbols(plan_of(sql, parameters))


def test_the_latest_price_of_one_symbol_does_not_walk_through_the_others(many: None) -> None:
    """A symbol that was last traded long ago is found as fast as any."""
    stored([("OLD", "trade", MIDNIGHT - timedelta(days=50), D(3), D(1), 1)])
    at = MIDNIGHT + timedelta(days=20)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE market_events")
    events = MarketEvent.objects.filter(event_type__in=PRICE_TYPES, price__gt=0)
    plan = events.newest_of("OLD", at).explain()
    assert "market_events_symbol" in plan, plan
    found = MarketEvent.objects.latest_price("OLD", at=at)
    assert found is not None
    assert (found.price, type(found.id)) == (D(3), UUID)
