"""Hypertables: made where the server can, with key and rows kept, and refused in words that help."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.timescale import hypertables
from emo_site.db.timescale.capabilities import Capabilities, look_up
from emo_site.db.timescale.hypertables import HypertableRefused, existing, expected, make_hypertable
from emo_site.db.timescale.operations import CreateHypertable
from monitoring import events
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from tests.conftest import BACKEND

BOTH = {"market_events", "system_health"}
START = datetime(2025, 1, 1, tzinfo=UTC)


def migrate(*arguments: str) -> None:
    call_command("migrate", *arguments, verbosity=0)


def some_events(count: int = 40) -> None:
    """Events over ten weeks, so that they lie in several chunks."""
    made = (
        events.Event(
            symbol="SPY",
            event_type=EventType.TRADE,
            timestamp=START + timedelta(days=2 * number, microseconds=number),
            price=Decimal("400.123456") + number,
            volume=Decimal(number),
            metadata={"n": number},
        )
        for number in range(count)
    )
    assert events.record(made) == count


def rows() -> list[dict[str, Any]]:
    return list(MarketEvent.objects.order_by("timestamp", "id").values())


def asked(sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def key_of(table: str) -> list[str]:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    [columns] = [item["columns"] for item in constraints.values() if item["primary_key"]]
    return columns


def names_of(table: str) -> set[str]:
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, table))


@pytest.mark.timescaledb
def test_both_time_series_are_hypertables_of_seven_days(db: None) -> None:
    assert existing(connection) == BOTH
    found = asked("SELECT hypertable_name, column_name, time_interval FROM timescaledb_information.dimensions")
    assert sorted(found) == [(table, "timestamp", timedelta(days=7)) for table in sorted(BOTH)]


@pytest.mark.timescaledb
@pytest.mark.parametrize("table", sorted(BOTH))
def test_key_of_a_hypertable_leads_with_the_time(db: None, table: str) -> None:
    assert key_of(table) == ["timestamp", "id"]


@pytest.mark.timescaledb
def test_row_of_the_same_time_and_id_is_refused(db: None) -> None:
    some_events(1)
    columns = ", ".join(f'"{field.column}"' for field in MarketEvent._meta.concrete_fields)
    with pytest.raises(IntegrityError, match="duplicate key value"), transaction.atomic():
        asked(f"INSERT INTO market_events ({columns}) SELECT {columns} FROM market_events")
    assert MarketEvent.objects.count() == 1


@pytest.mark.timescaledb
@pytest.mark.usefixtures("emptied_afterwards")
def test_way_back_to_an_ordinary_table_and_forth_keeps_rows_and_names() -> None:
    some_events()
    before, names = rows(), names_of("market_events")
    try:
        migrate("monitoring", "0001")
        assert existing(connection) == set()
        assert rows() == before
        assert key_of("market_events") == ["id"]
        assert names_of("market_events") == names
        with pytest.raises(IntegrityError, match="market_events_volume_not_negative"), transaction.atomic():
            asked("UPDATE market_events SET volume = -1 RETURNING 1")
    finally:
        migrate("monitoring")
    assert existing(connection) == BOTH
    assert rows() == before
    assert key_of("market_events") == ["timestamp", "id"]
    assert names_of("market_events") == names
    assert len(asked("SELECT show_chunks('market_events')")) > 5


@pytest.mark.timescaledb
@pytest.mark.usefixtures("emptied_afterwards")
def test_timescale_that_is_off_keeps_ordinary_tables(settings: Any) -> None:
    migrate("monitoring", "0001")
    try:
        settings.EMO_TIMESCALE = "off"
        migrate("monitoring")
        assert existing(connection) == set()
        migrate("monitoring", "0001")
    finally:
        settings.EMO_TIMESCALE = "auto"
        migrate("monitoring")
    assert existing(connection) == BOTH


@pytest.mark.timescaledb
def test_table_that_is_a_hypertable_already_is_left_alone(db: None) -> None:
    assert make_hypertable(connection, "market_events", time_column="timestamp", chunk_interval="1 day")
    [(interval,)] = asked(
        "SELECT time_interval FROM timescaledb_information.dimensions WHERE hypertable_name = 'market_events'"
    )
    assert interval == timedelta(days=7)


@pytest.fixture
def stranger(db: None) -> Iterator[BaseDatabaseWrapper]:
    """A connection to an empty database, as somebody who may look and no more."""
    server = connection.settings_dict
    place = {name: server[key] for name, key in (("host", "HOST"), ("port", "PORT"), ("user", "USER"))}
    admin = psycopg.connect(**place, password=server["PASSWORD"], dbname="postgres", autocommit=True)
    name = f"stranger_{uuid.uuid4().hex[:8]}"
    admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'stranger'")
    admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    own = type(connections[DEFAULT_DB_ALIAS])(
        {**server, "NAME": name, "USER": name, "PASSWORD": "stranger", "OPTIONS": {}}, connection.alias
    )
    try:
        yield own
    finally:
        own.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.execute(f"DROP ROLE {name}")
        admin.close()


@pytest.mark.timescaledb
def test_missing_privilege_is_an_error_that_says_what_to_do(stranger: BaseDatabaseWrapper) -> None:
    assert look_up(stranger).installed is None
    with pytest.raises(HypertableRefused) as error:
        make_hypertable(stranger, "market_events", time_column="timestamp", chunk_interval="7 days")
    name = stranger.settings_dict["NAME"]
    assert str(error.value).startswith(
        f"Database '{name}': TimescaleDB could not be enabled (permission denied to create extension"
    )
    assert str(error.value).endswith(
        "As a superuser run CREATE EXTENSION timescaledb; in that database and run the command again; or set"
        " EMO_TIMESCALE=off to keep ordinary tables."
    )


def test_extension_that_is_not_preloaded_is_an_error_that_says_what_to_do(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk = Capabilities(available="2.19.3", installed=None, preloaded=False, licence=None)
    monkeypatch.setattr(hypertables, "look_up", lambda connection: on_disk)
    with pytest.raises(HypertableRefused) as error:
        make_hypertable(connection, "market_events", time_column="timestamp", chunk_interval="7 days")
    assert str(error.value) == (
        f"Database {connection.settings_dict['NAME']!r}: TimescaleDB 2.19.3 is installed on the server but not loaded."
        " Add timescaledb to shared_preload_libraries, restart the server and run the command again; or set"
        " EMO_TIMESCALE=off to keep ordinary tables."
    )


@pytest.mark.parametrize("table", ["Market", "a b", 'a"b', "", "1a", "public.market_events"])
def test_table_whose_name_needs_quoting_is_refused(db: None, table: str) -> None:
    with pytest.raises(ValueError, match="a lower-case name is needed"):
        make_hypertable(connection, table, time_column="timestamp", chunk_interval="7 days")


def test_server_says_what_it_can(db: None) -> None:
    found = look_up(connection)
    if BACKEND == "timescaledb":
        assert (found.available, found.preloaded) == (found.installed, True)
        assert found.installed is not None
        assert found.licence in ("apache", "timescale")
    else:
        assert found == Capabilities(available=None, installed=None, preloaded=False, licence=None)
    assert expected(found) == (BACKEND == "timescaledb")


def test_table_stays_ordinary_where_the_server_has_no_timescaledb(db: None) -> None:
    made = make_hypertable(connection, "market_events", time_column="timestamp", chunk_interval="7 days")
    assert made == (BACKEND == "timescaledb")
    assert key_of("market_events") == (["timestamp", "id"] if made else ["id"])


def test_operation_is_written_into_a_migration_as_it_was() -> None:
    operation = CreateHypertable("MarketEvent", time_column="timestamp", chunk_interval="1 day")
    name, args, kwargs = operation.deconstruct()
    assert (name, args) == ("CreateHypertable", ["MarketEvent"])
    assert kwargs == {"time_column": "timestamp", "chunk_interval": "1 day"}
    assert operation.describe() == (
        "Make MarketEvent a hypertable partitioned by timestamp, where TimescaleDB is to be had"
    )
    assert operation.migration_name_fragment == "marketevent_hypertable"
