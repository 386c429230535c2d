"""The system checks of settings that must fit each other."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import CheckMessage

from emo_site import checks
from emo_site.db.urls import ENGINE_POSTGRESQL, ENGINE_SQLITE
from tests.desk import manage
from tests.run import PROJECT


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
        ("replica1", server(port=""), True),
        ("replica1", server(host="DB."), True),
        # One server has one role, whatever is asked for.
        ("replica1", server(**STANDBYS), True),
        # One of the primary's hosts: a standby as a rule, and left out while it is not.
        ("replica1", server(host="db,standby"), False),
    ],
)
def test_second_database_is_another_place(
    monkeypatch: pytest.MonkeyPatch, alias: str, database: dict[str, Any], same: bool
) -> None:
    monkeypatch.setattr(django_settings, "DATABASES", {"default": server(), alias: database})
    expected = [("emo.E003", f"Database {alias!r} is the same place as 'default'.")] if same else []
    assert found(checks.databases_are_different(None)) == expected


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "::1", "0:0:0:0:0:0:0:1", ""])
def test_this_machine_is_the_same_place_by_every_name(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    databases = {"default": server(host="localhost"), "replica1": server(host=host, port="")}
    monkeypatch.setattr(django_settings, "DATABASES", databases)
    assert found(checks.databases_are_different(None)) == [
        ("emo.E003", "Database 'replica1' is the same place as 'default'.")
    ]


def test_hosts_in_another_order_are_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    databases = {"default": server(host="a,b", port="1,2"), "timeseries": server(host="B,A", port="2,1")}
    monkeypatch.setattr(django_settings, "DATABASES", databases)
    assert found(checks.databases_are_different(None)) == [
        ("emo.E003", "Database 'timeseries' is the same place as 'default'.")
    ]


def test_the_same_replica_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    databases = {"default": server(), "replica1": server(host="r"), "replica2": server(host="R", port="")}
    monkeypatch.setattr(django_settings, "DATABASES", databases)
    assert found(checks.databases_are_different(None)) == [
        ("emo.E011", "Database 'replica2' is the same place as 'replica1'.")
    ]


def test_the_same_file_by_another_path_is_the_same_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    databases = {
        "default": {**SQLITE, "NAME": str(tmp_path / "x")},
        "timeseries": {**SQLITE, "NAME": str(tmp_path / "link" / "x")},
    }
    monkeypatch.setattr(django_settings, "DATABASES", databases)
    assert found(checks.databases_are_different(None)) == [
        ("emo.E003", "Database 'timeseries' is the same place as 'default'.")
    ]


@pytest.mark.parametrize(
    ("environment", "database", "shown"),
    [
        ("prod", server(), "prefer"),
        ("prod", server(sslmode="require"), "require"),
        ("prod", server(sslmode="verify-ca"), "verify-ca"),
        # Loopback is no exception: the same machine is reached by its socket.
        ("prod", server(host="localhost"), "prefer"),
        ("prod", server(host="/run/postgresql,db", port="1,2"), "prefer"),
        ("prod", server(sslmode="verify-full"), None),
        ("prod", server(host="/run/postgresql"), None),
        ("prod", server(host=""), None),
        ("prod", SQLITE, None),
        ("staging", server(), None),
        ("dev", server(), None),
    ],
)
def test_production_verifies_who_the_server_is(
    monkeypatch: pytest.MonkeyPatch, settings: Any, environment: str, database: dict[str, Any], shown: str | None
) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    settings.EMO_ENV = environment
    monkeypatch.setattr(django_settings, "DATABASES", {"default": database})
    messages = checks.production_verifies_servers(None)
    assert found(messages) == (
        [("emo.E010", f"Database 'default' has sslmode={shown} in production.")] if shown else []
    )


@pytest.mark.parametrize("sslmode", ["require", "verify-full"])
def test_production_verifies_the_server_that_backups_are_proven_on(
    monkeypatch: pytest.MonkeyPatch, settings: Any, sslmode: str
) -> None:
    settings.EMO_ENV, settings.EMO_BACKUP_SCRATCH = "prod", server(sslmode=sslmode)
    monkeypatch.setattr(django_settings, "DATABASES", {"default": server(sslmode="verify-full")})
    told = found(checks.production_verifies_servers(None))
    words = "Database 'EMO_BACKUP_SCRATCH_URL' has sslmode=require in production."
    assert told == ([("emo.E010", words)] if sslmode == "require" else [])


def test_a_host_from_the_environment_is_no_socket(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    settings.EMO_ENV = "prod"
    monkeypatch.setattr(django_settings, "DATABASES", {"default": server(host="")})
    assert [message.id for message in checks.production_verifies_servers(None)] == ["emo.E010"]


def test_the_shipped_production_settings_pass_and_fail_without_verification() -> None:
    """`.ci/check-production` reads the example; here also with its verification taken away."""
    lines = (PROJECT / ".env.prod.example").read_text().splitlines()
    shipped = dict(line.split("=", 1) for line in lines if line and line[0].isupper())
    del shipped["SECRET_KEY_FILE"], shipped["EMO_AUDIT_KEY_FILE"]
    shipped["SECRET_KEY"] = "".join(chr(33 + number) for number in range(60))
    shipped["EMO_AUDIT_KEY"] = "a" * 32
    assert manage("check", "--deploy", "--fail-level", "WARNING", environment=shipped).status == 0
    shipped["POSTGRES_URL"] = shipped["POSTGRES_URL"].replace("verify-full", "require")
    ran = manage("check", environment=shipped)
    assert ran.status == 1
    assert "?: (emo.E010) Database 'default' has sslmode=require in production." in ran.err


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


@pytest.mark.parametrize(
    ("after", "events", "health", "in_vain"),
    [(30, 30, 7, True), (29, 30, 7, False), (30, None, 7, False), (None, 30, 7, False), (60, 30, 90, False)],
)
def test_compression_after_everything_is_gone_is_said(
    settings: Any, after: int | None, events: int | None, health: int | None, in_vain: bool
) -> None:
    settings.EMO_COMPRESS_AFTER_DAYS = after
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS, settings.EMO_RETAIN_SYSTEM_HEALTH_DAYS = events, health
    said = (
        "EMO_COMPRESS_AFTER_DAYS=30 compresses nothing: chunks are dropped before (EMO_RETAIN_MARKET_EVENTS_DAYS=30,"
        " EMO_RETAIN_SYSTEM_HEALTH_DAYS=7)."
    )
    assert found(checks.something_is_compressed(None)) == ([("emo.W031", said)] if in_vain else [])


@pytest.mark.parametrize(
    ("tokens", "networks", "ids"),
    [
        ([], [], ["emo.W041"]),
        (["t" * 32], [], []),
        ([], ["10.0.0.0/8"], []),
        ([], ["10.0.0.0/8", "0.0.0.0/0"], ["emo.E042"]),
        (["t" * 32], ["::/0"], ["emo.E042"]),
    ],
)
def test_metrics_are_read_by_somebody_and_not_by_everybody(
    settings: Any, tokens: list[str], networks: list[str], ids: list[str]
) -> None:
    settings.EMO_METRICS_TOKENS, settings.EMO_METRICS_NETWORKS = tokens, [ip_network(each) for each in networks]
    messages = [*checks.metrics_can_be_read(None), *checks.metrics_are_not_public(None)]
    assert [message.id for message in messages] == ids
