"""Market events: validated, and on record once however often they come."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from emo_site.db.uuid7 import uuid7
from monitoring import event as event_module
from monitoring import event_copy, events
from monitoring.choices import EventLevel, EventType
from monitoring.events import Conflict, Event, InvalidEvent, OnConflict
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
@pytest.mark.parametrize("on_conflict", OnConflict)
def test_batch_with_one_row_that_the_database_refuses_writes_none(
    monkeypatch: pytest.MonkeyPatch, on_conflict: OnConflict
) -> None:
    # As if the rules knew a word that the table does not.
    monkeypatch.setattr(event_module, "words", lambda symbol, event_type, source, level: ("rumour", "info"))
    monkeypatch.setattr(event_copy, "_words", event_copy._words.__wrapped__)
    monkeypatch.setattr(event_copy, "checked_words", event_module.words)
    form = events.Writer().form
    bad = form.row(event(symbol="QQQ"))
    monkeypatch.undo()
    writer = events.Writer(on_conflict=on_conflict)
    with pytest.raises(IntegrityError, match="market_events_type_known"), transaction.atomic():
        writer.write([form.together([form.row(event()), bad])])
    assert not MarketEvent.objects.exists()


@pytest.mark.django_db
def test_event_on_record_is_kept_replaced_or_an_error_as_asked() -> None:
    first, again = event(), event(level=EventLevel.ERROR)
    other = event(symbol="QQQ")
    assert events.record([first]) == 1
    assert events.record([other, again], on_conflict=OnConflict.SKIP) == 1
    assert set(MarketEvent.objects.values_list("symbol", "level")) == {("SPY", "info"), ("QQQ", "info")}
    third = event(symbol="IWM")
    assert events.record([third, again], on_conflict=OnConflict.UPDATE) == 1
    assert set(MarketEvent.objects.values_list("symbol", "level")) == {
        ("SPY", "error"),
        ("QQQ", "info"),
        ("IWM", "info"),
    }
    with pytest.raises(Conflict) as error:
        events.record([event(symbol="DIA"), other, again], on_conflict=OnConflict.ERROR)
    moment = "2025-11-03 15:00:00.123456+00:00"
    assert str(error.value) == f"id={other.identity}: is on record already (the event is of {moment})"
    assert error.value.place == 1
    assert MarketEvent.objects.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize(("on_conflict", "level"), [(OnConflict.SKIP, "info"), (OnConflict.UPDATE, "error")])
def test_event_that_comes_twice_in_a_batch_is_one_row(on_conflict: OnConflict, level: str) -> None:
    writer = events.Writer(on_conflict=on_conflict)
    twice = [writer.form.row(event()), writer.form.row(event(level=EventLevel.ERROR))]
    assert writer.write([writer.form.together(twice)]) == events.Written(new=1, known=1)
    assert MarketEvent.objects.get().level == level


@pytest.mark.django_db
def test_event_that_comes_twice_is_an_error_where_that_is_asked_for() -> None:
    with pytest.raises(Conflict, match="comes twice") as error:
        events.record([event(), event(symbol="QQQ"), event()], on_conflict=OnConflict.ERROR)
    assert error.value.place == 2
    assert not MarketEvent.objects.exists()


@pytest.mark.django_db
def test_batches_with_and_without_known_rows_are_counted_as_they_come() -> None:
    """Straight, by way of the temporary table, and straight again."""
    writer = events.Writer()
    rows = [writer.form.row(event(volume=D(number))) for number in range(40)]

    def written(first: int, end: int) -> events.Written:
        middle = first + 3
        return writer.write([writer.form.together(part) for part in (rows[first:middle], rows[middle:end])])

    assert written(0, 10) == events.Written(new=10)
    assert written(5, 15) == events.Written(new=5, known=5)
    assert written(10, 20) == events.Written(new=5, known=5)
    assert written(20, 30) == events.Written(new=10)
    assert written(30, 40) == events.Written(new=10)
    assert MarketEvent.objects.count() == 40


def test_id_of_its_own_must_be_made_from_the_time() -> None:
    given = uuid7(AT, tail=7)
    assert event(id=given).identity == given
    for wrong in (uuid7(AT + timedelta(microseconds=1), tail=7), uuid.UUID(int=7), uuid.uuid4()):
        with pytest.raises(InvalidEvent) as error:
            event(id=wrong)
        assert str(error.value) == f"id={wrong}: is not a UUIDv7 made from the row's timestamp"


@pytest.mark.parametrize("zero", ["-0", "0.00", "-0.0000001", "1e-30"])
def test_there_is_one_zero(zero: str) -> None:
    # The database has one too: with two, the same row would come in twice.
    assert event(price=D(zero)).identity == event(price=D(0)).identity


def test_id_is_that_of_the_desk_s_other_ids() -> None:
    made = event().identity
    assert made == uuid7(AT, tail=made.int)


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
    # A busy machine is no reason to fail.
    @settings(deadline=None)
    @given(st.lists(EVENTS, max_size=12), st.lists(EVENTS, max_size=12))
    def test_what_was_recorded_before_is_never_recorded_again(self, first: list[Event], second: list[Event]) -> None:
        wanted = {item.identity for item in [*first, *second]}
        written = events.record(first) + events.record([*second, *first])
        assert written == len(wanted)
        assert set(MarketEvent.objects.values_list("pk", flat=True)) == wanted

    @settings(deadline=None)
    @given(EVENTS, st.sampled_from(OnConflict))
    def test_what_is_read_back_is_what_was_recorded(self, made: Event, on_conflict: OnConflict) -> None:
        MarketEvent.objects.all().delete()
        assert events.record([made], on_conflict=on_conflict) == 1
        stored = MarketEvent.objects.get(pk=made.identity)
        for name in ("symbol", "event_type", "timestamp", "price", "volume", "source", "level", "metadata"):
            assert getattr(stored, name) == getattr(made, name), name
