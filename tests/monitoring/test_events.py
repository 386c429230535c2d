"""Market events: validated, and on record once however often they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from monitoring import events
from monitoring.choices import EventLevel, EventType
from monitoring.events import Event, InvalidEvent
from monitoring.models import MarketEvent

D = Decimal
AT = datetime(2025, 11, 3, 15, 0, 0, 123456, tzinfo=UTC)
TYPES = "trade, quote, bar, iv_rank, strategy_signal, equity, position, regime, option_quote, metric"


def event(**changes: Any) -> Event:
    values = {"symbol": "SPY", "event_type": EventType.TRADE, "timestamp": AT, "price": D("400.5"), "source": "test"}
    return Event(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbol": "S" * 33}, f"symbol='{'S' * 33}': must be at most 32 printable characters"),
        ({"symbol": "S\x00"}, "symbol='S\\x00': must be at most 32 printable characters"),
        ({"source": "s" * 65}, f"source='{'s' * 65}': must be at most 64 printable characters"),
        ({"source": "a\x1fb"}, "source='a\\x1fb': must be at most 64 printable characters"),
        ({"event_type": "rumour"}, f"event_type='rumour': must be one of {TYPES}"),
        ({"level": "fatal"}, "level='fatal': must be one of info, warning, error"),
        (
            {"timestamp": datetime(2025, 1, 1)},  # noqa: DTZ001
            "timestamp=datetime.datetime(2025, 1, 1, 0, 0): needs a time zone",
        ),
        (
            {"timestamp": datetime(1969, 1, 1, tzinfo=UTC)},
            "timestamp=datetime.datetime(1969, 1, 1, 0, 0, tzinfo=datetime.timezone.utc): is before 1971",
        ),
        ({"price": D("NaN")}, "price=NaN: must be a finite number below 100000000000"),
        ({"price": D("-Infinity")}, "price=-Infinity: must be a finite number below 100000000000"),
        ({"price": D("1e11")}, "price=1E+11: must be a finite number below 100000000000"),
        (
            {"price": D("99999999999.9999999")},
            "price=99999999999.9999999: must be a finite number below 100000000000",
        ),
        ({"volume": D(-1)}, "volume=-1: must not be negative"),
        ({"metadata": {"a": "\x00"}}, "metadata={'a': '\\x00'}: NUL characters can't be stored"),
        ({"metadata": {"a": {1}}}, "metadata={'a': {1}}: Object of type set is not JSON serializable"),
    ],
)
def test_event_that_breaks_a_rule_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent) as error:
        event(**changes)
    assert str(error.value) == message


@pytest.mark.django_db
def test_event_is_stored_as_it_was() -> None:
    events.record([event(volume=D("12.5"), level=EventLevel.WARNING, metadata={"a": [1, None]})])
    stored = MarketEvent.objects.get()
    assert (stored.symbol, stored.event_type, stored.timestamp, stored.source) == ("SPY", "trade", AT, "test")
    assert (stored.price, stored.volume, stored.level, stored.metadata) == (
        D("400.5"),
        D("12.5"),
        "warning",
        {"a": [1, None]},
    )


@pytest.mark.django_db
@pytest.mark.parametrize("figure", ["-99999999999.999999", "0.000001", "99999999999.999999"])
def test_largest_and_smallest_figures_are_stored(figure: str) -> None:
    events.record([event(price=D(figure))])
    stored = MarketEvent.objects.get().price
    assert stored is not None
    # SQLite keeps fifteen digits.
    assert abs(stored - D(figure)) < D("0.001")


SAME = [
    {},
    {"price": D("400.50")},
    {"price": D("400.5000001")},
    {"timestamp": AT.astimezone(timezone(timedelta(hours=-5)))},
    {"metadata": {"b": 2, "a": 1}},
    {"level": EventLevel.ERROR},
]
OTHER = [
    {"symbol": "QQQ"},
    {"source": "elsewhere"},
    {"event_type": EventType.QUOTE},
    {"price": D("400.51")},
    {"price": None},
    {"volume": D(1)},
    {"timestamp": AT + timedelta(microseconds=1)},
    {"metadata": {"a": 2, "b": 2}},
]
FIRST = {"metadata": {"a": 1, "b": 2}}


@pytest.mark.parametrize("changes", SAME)
def test_same_event_has_the_same_identity(changes: dict[str, Any]) -> None:
    assert event(**{**FIRST, **changes}).identity == event(**FIRST).identity


@pytest.mark.parametrize("changes", OTHER)
def test_other_event_has_another_identity(changes: dict[str, Any]) -> None:
    assert event(**{**FIRST, **changes}).identity != event(**FIRST).identity


@pytest.mark.django_db
def test_event_that_comes_again_changes_nothing() -> None:
    assert events.record([event(), event(), event(price=D("400.50"))]) == 1
    assert events.record([event(), event(symbol="QQQ")]) == 1
    assert events.record([]) == 0
    assert MarketEvent.objects.count() == 2


@pytest.mark.django_db
def test_many_events_over_months_are_each_on_record_once() -> None:
    made = [event(timestamp=AT + timedelta(hours=number), volume=D(number)) for number in range(2500)]
    assert events.record(made) == 2500
    assert events.record(reversed(made)) == 0
    assert MarketEvent.objects.count() == 2500


@pytest.mark.django_db
def test_batch_with_one_row_that_can_not_be_written_writes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_row", lambda identity, item: MarketEvent(id=identity, symbol=item.symbol))
    with pytest.raises(IntegrityError, match=r"(?i)NOT NULL|null value"):
        events.record([event(), event(symbol="QQQ")])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("later", "price"),
    [
        ({"timestamp": AT + timedelta(seconds=1), "price": D(2)}, D(2)),
        # The future is not known yet.
        ({"timestamp": AT + timedelta(seconds=3), "price": D(2)}, D("400.5")),
        ({"timestamp": AT + timedelta(seconds=1), "event_type": EventType.METRIC, "price": D(2)}, D("400.5")),
        ({"timestamp": AT + timedelta(seconds=1), "price": D(0)}, D("400.5")),
        ({"timestamp": AT + timedelta(seconds=1), "price": None}, D("400.5")),
        ({"timestamp": AT + timedelta(seconds=1), "symbol": "QQQ", "price": D(2)}, D("400.5")),
        ({"timestamp": AT - timedelta(seconds=1), "price": D(2)}, D("400.5")),
    ],
)
def test_latest_price_is_the_last_one_that_could_be_traded_at(later: dict[str, Any], price: Decimal) -> None:
    events.record([event(), event(**later)])
    found = MarketEvent.objects.latest_price("SPY", at=AT + timedelta(seconds=2))
    assert found is not None
    assert found.price == price


FIGURES = st.none() | st.decimals("0", "999999999", places=6)
EVENTS = st.builds(
    Event,
    symbol=st.sampled_from(["", "SPY", "QQQ"]),
    event_type=st.sampled_from(EventType),
    timestamp=st.datetimes(datetime(2025, 1, 1), datetime(2025, 1, 3), timezones=st.just(UTC)),  # noqa: DTZ001
    price=FIGURES,
    volume=FIGURES,
    metadata=st.dictionaries(st.sampled_from("ab"), st.integers() | st.text(st.characters(exclude_categories=["C"]))),
)


class TestRecording(TestCase):
    @given(st.lists(EVENTS, max_size=12), st.lists(EVENTS, max_size=12))
    def test_what_was_recorded_before_is_never_recorded_again(self, first: list[Event], second: list[Event]) -> None:
        wanted = {item.identity for item in [*first, *second]}
        written = events.record(first) + events.record([*second, *first])
        assert written == len(wanted)
        assert set(MarketEvent.objects.values_list("pk", flat=True)) == wanted
