"""The system checks of settings that must fit each other."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage

from emo_site import checks
from emo_site.db.urls import ENGINE_POSTGRESQL, ENGINE_SQLITE


def server(host: str = "db", name: str = "desk", port: str = "5432", **options: str) -> dict[str, Any]:
    return {"ENGINE": ENGINE_POSTGRESQL, "NAME": name, "HOST": host, "PORT": port, "OPTIONS": options}


SQLITE = {"ENGINE": ENGINE_SQLITE, "NAME": "desk.sqlite", "OPTIONS": {}}
STANDBYS = {"target_session_attrs": "prefer-standby"}


def found(messages: list[CheckMessage]) -> list[tuple[str, str]]:
    return [(str(message.id), message.msg) for message in messages]


@pytest.mark.parametrize(
    ("environment", "database", "messages"),
    [
        ("prod", SQLITE, [("emo.E001", "Database 'default' is SQLite in production.")]),
        ("prod", server(), []),
        ("staging", SQLITE, []),
        ("dev", SQLITE, []),
    ],
)
def test_production_does_not_run_on_sqlite(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    environment: str,
    database: dict[str, Any],
    messages: list[tuple[str, str]],
) -> None:
    settings.EMO_ENV = environment
    monkeypatch.setattr(django_settings, "DATABASES", {"default": database})
    assert found(checks.production_uses_postgresql(None)) == messages


@pytest.mark.parametrize(
    ("environment", "hosts", "messages"),
    [
        ("prod", [], [("emo.E002", "ALLOWED_HOSTS=[] in prod: every request is refused, or none.")]),
        ("staging", ["*"], [("emo.E002", "ALLOWED_HOSTS=['*'] in staging: every request is refused, or none.")]),
        ("prod", ["desk.example"], []),
        ("dev", [], []),
    ],
)
def test_hosts_are_named_outside_dev(
    settings: Any, environment: str, hosts: list[str], messages: list[tuple[str, str]]
) -> None:
    settings.EMO_ENV = environment
    settings.ALLOWED_HOSTS = hosts
    assert found(checks.hosts_are_named(None)) == messages


@pytest.mark.parametrize(
    ("alias", "database", "same"),
    [
        ("timeseries", server(), True),
        ("replica1", server(), True),
        ("timeseries", server(name="series"), False),
        ("replica1", server(host="standby"), False),
        ("replica1", server(port="5433"), False),
        # The same two servers, asked for the other one: reads outlive a failover that way.
        ("replica1", server(**STANDBYS), False),
    ],
)
def test_second_database_is_another_place(
    monkeypatch: pytest.MonkeyPatch, alias: str, database: dict[str, Any], same: bool
) -> None:
    monkeypatch.setattr(django_settings, "DATABASES", {"default": server(), alias: database})
    expected = [("emo.E003", f"Database {alias!r} is the same place as 'default'.")] if same else []
    assert found(checks.databases_are_different(None)) == expected


@pytest.mark.parametrize(
    ("alias", "database", "refused"),
    [
        ("default", server(host="a,b"), True),
        ("default", server(host="a,b", target_session_attrs="any"), True),
        ("default", server(host="a,b", target_session_attrs="prefer-standby"), True),
        ("default", server(host="a,b", target_session_attrs="read-write"), False),
        ("default", server(host="a,b", target_session_attrs="primary"), False),
        ("default", server(host="a"), False),
        ("default", SQLITE, False),
        ("replica1", server(host="a,b"), False),
    ],
)
def test_several_hosts_need_the_one_that_takes_writes(
    monkeypatch: pytest.MonkeyPatch, alias: str, database: dict[str, Any], refused: bool
) -> None:
    monkeypatch.setattr(django_settings, "DATABASES", {"default": server(), alias: database})
    message = f"Database {alias!r} names several hosts without target_session_attrs=read-write."
    assert found(checks.several_hosts_are_told_apart(None)) == ([("emo.E004", message)] if refused else [])


def test_probe_that_does_not_exist_is_named(settings: Any) -> None:
    settings.PROBES = [("monitoring.probes.NoSuchProbe", {})]
    assert found(checks.probes_can_be_made(None)) == [
        (
            "emo.E005",
            'Probe monitoring.probes.NoSuchProbe with {} can\'t be made: Module "monitoring.probes" does not define a'
            ' "NoSuchProbe" attribute/class',
        )
    ]


def test_probe_with_an_unknown_threshold_is_named(settings: Any) -> None:
    settings.PROBES = [("monitoring.probes.MarketDataProbe", {"warn_age": 1})]
    [message] = checks.probes_can_be_made(None)
    assert message.id == "emo.E005"
    assert "unexpected keyword argument 'warn_age'" in message.msg


def test_two_probes_of_one_name_are_named(settings: Any) -> None:
    settings.PROBES = [("monitoring.probes.MarketDataProbe", {}), ("monitoring.probes.MarketDataProbe", {})]
    assert found(checks.probes_can_be_made(None)) == [("emo.E006", "2 probes are named 'market data'.")]


def test_configured_probes_can_be_made() -> None:
    assert checks.probes_can_be_made(None) == []


@pytest.mark.parametrize(
    ("environment", "debug", "messages"),
    [
        ("prod", True, [("emo.E007", "EMO_DEBUG is on: error pages would show settings to anybody.")]),
        ("staging", True, [("emo.E007", "EMO_DEBUG is on: error pages would show settings to anybody.")]),
        ("prod", False, []),
        ("dev", True, []),
    ],
)
def test_debug_is_off_outside_dev(
    settings: Any, environment: str, debug: bool, messages: list[tuple[str, str]]
) -> None:
    settings.EMO_ENV = environment
    settings.DEBUG = debug
    assert found(checks.debug_is_off(None)) == messages


@pytest.mark.parametrize("logged", [True, False])
def test_log_of_statements_is_warned_of(settings: Any, logged: bool) -> None:
    settings.EMO_DB_DEBUG = logged
    expected = [("emo.W008", "EMO_DB_DEBUG is on: SQL with its parameters goes to the log.")] if logged else []
    assert found(checks.statements_are_not_logged(None)) == expected
