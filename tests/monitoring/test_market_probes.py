"""While New York trades, symbols that went silent are named; by night and at weekends nobody is woken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from freezegun import freeze_time

from monitoring import events, market_hours, market_probes
from monitoring.choices import EventType
from monitoring.health import Finding
from monitoring.market_probes import SymbolsProbe

# A Monday, 10:00 in New York.
MORNING = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2025-11-03T14:29:59+00:00", None),
        ("2025-11-03T14:30:00+00:00", timedelta()),
        ("2025-11-03T15:00:00+00:00", timedelta(minutes=30)),
        ("2025-11-03T20:59:59+00:00", timedelta(hours=6, minutes=29, seconds=59)),
        ("2025-11-03T21:00:00+00:00", None),
        # In summer New York is an hour nearer.
        ("2025-07-01T13:30:00+00:00", timedelta()),
        ("2025-07-01T20:00:00+00:00", None),
        # Friday, Saturday, Sunday.
        ("2025-11-07T15:00:00+00:00", timedelta(minutes=30)),
        ("2025-11-08T15:00:00+00:00", None),
        ("2025-11-09T15:00:00+00:00", None),
        ("2025-11-03T23:00:00+08:00", timedelta(minutes=30)),
    ],
)
def test_market_hours(at: str, expected: timedelta | None) -> None:
    assert market_hours.open_for(datetime.fromisoformat(at)) == expected


def heard(symbol: str, minutes: float, kind: EventType = EventType.QUOTE, *, now: datetime = MORNING) -> None:
    at = now - timedelta(minutes=minutes)
    events.record([events.Event(symbol=symbol, event_type=kind, timestamp=at, source="test")])


def asked(at: datetime = MORNING) -> Finding:
    with freeze_time(at):
        return SymbolsProbe().run()


@pytest.mark.django_db
def test_a_desk_without_data_does_not_know() -> None:
    assert said(asked()) == ("unknown", "no symbol was heard of in the last 4 days")


@pytest.mark.django_db
def test_fresh_symbols_are_healthy_however_old_their_first_event() -> None:
    heard("SPY", 3000)
    heard("SPY", 1)
    heard("QQQ", 12, EventType.TRADE)
    assert said(asked()) == ("healthy", "2 symbols, each heard of within the last 12 min")


@pytest.mark.django_db
def test_some_silent_symbols_are_a_warning_that_names_them_oldest_first() -> None:
    heard("SPY", 1)
    heard("QQQ", 16)
    heard("IWM", 400)
    finding = asked()
    assert said(finding) == ("warning", "2 of 3 symbols silent for more than 15 min: IWM (6 h), QQQ (16 min)")
    assert finding.metrics == {"followed": 3, "silent": ["IWM", "QQQ"]}


@pytest.mark.django_db
def test_a_feed_that_stands_still_is_an_error() -> None:
    for number in range(10):
        heard(f"SYM{number}", 20 + number)
    finding = asked()
    assert str(finding.status) == "error"
    assert finding.message.startswith("10 of 10 symbols silent for more than 15 min: SYM9 (29 min)")
    assert finding.message.endswith(" and 2 more")
    assert "market data feed" in finding.remedy


@pytest.mark.django_db
def test_what_is_followed_no_more_what_is_an_option_and_the_account_do_not_count() -> None:
    heard("SPY", 1)
    heard("OLD", 5 * 24 * 60)
    heard("SPY   251205C00460000", 60, EventType.OPTION_QUOTE)
    heard("", 60, EventType.EQUITY)
    assert said(asked()) == ("healthy", "1 symbols, each heard of within the last 60 s")


@pytest.mark.django_db
def test_an_event_from_the_future_does_not_hide_a_silence() -> None:
    heard("SPY", 30)
    heard("SPY", -600)
    assert said(asked()) == ("error", "1 of 1 symbols silent for more than 15 min: SPY (30 min)")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2025, 11, 3, 14, 0, tzinfo=UTC), "New York is closed"),
        (datetime(2025, 11, 8, 16, 0, tzinfo=UTC), "New York is closed"),
        # The first quote may take its time.
        (datetime(2025, 11, 3, 14, 40, tzinfo=UTC), "New York opened 10 min ago"),
    ],
)
def test_outside_market_hours_silence_is_healthy(at: datetime, expected: str) -> None:
    heard("SPY", 3000)
    assert said(asked(at)) == ("healthy", expected)


@pytest.mark.django_db
def test_a_database_that_is_down_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object) -> None:
        raise OperationalError("refused")

    monkeypatch.setattr(market_probes, "models_asked_within", lost)
    assert said(asked()) == ("unknown", "Can't be asked: refused")


@pytest.mark.django_db
def test_the_question_costs_a_step_for_each_symbol_and_not_for_each_event(
    django_assert_max_num_queries: object,
) -> None:
    for number in range(50):
        heard("SPY", number)
    with django_assert_max_num_queries(8, connection=connection):  # type: ignore[operator]
        asked()
