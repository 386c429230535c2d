"""The desk as an operator runs it, command by command, on the engine this run is about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BACKEND
from tests.desk import empty_database, manage

APPS = ("reporting", "orders", "monitoring", "jobs")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with empty_database(tmp_path) as url:
        yield url


def _succeeds(*arguments: str, environment: dict[str, str]) -> str:
    ran = manage(*arguments, environment=environment)
    assert ran.status == 0, ran.out + ran.err
    return ran.out


def test_migrations_go_forward_to_zero_and_forward_again(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    _succeeds("migrate", "--verbosity", "0", environment=environment)
    for app in APPS:
        _succeeds("migrate", app, "zero", "--verbosity", "0", environment=environment)
    _succeeds("migrate", "--verbosity", "0", environment=environment)
    _succeeds("load_demo", environment=environment)
    # Backwards with rows in the tables as well.
    for app in APPS:
        _succeeds("migrate", app, "zero", "--verbosity", "0", environment=environment)
    _succeeds("migrate", "--verbosity", "0", environment=environment)


def test_a_fresh_desk_works_command_by_command(url: str, tmp_path: Path) -> None:
    environment = {"EMO_DB_URL": url}
    _succeeds("migrate", "--verbosity", "0", environment=environment)
    assert _succeeds("load_demo", environment=environment) == "Loaded 10 demo orders.\n"
    assert "no demo was loaded" in _succeeds("load_demo", "--if-empty", environment=environment)

    health = json.loads(_succeeds("healthcheck", "--json", "--database", "default", environment=environment))
    assert health["status"] == "healthy"
    assert health["recorded"] is True
    engine = next(item for item in health["components"] if item["name"] == "database:default")["metrics"]["engine"]
    assert engine == BACKEND

    for name in ("orders", "institutional"):
        path = tmp_path / f"{name}.html"
        assert _succeeds("export_report", name, "--output", str(path), environment=environment) == f"{path}\n"
        assert "Demo data." in path.read_text()
        document = json.loads(_export_json(name, tmp_path, environment))
        assert document["total_orders"] == 10
        assert document["active_orders"] == 2


def _export_json(name: str, folder: Path, environment: dict[str, str]) -> str:
    path = folder / f"{name}.json"
    _succeeds("export_report", name, "--format", "json", "--output", str(path), environment=environment)
    return path.read_text()


def test_time_series_in_a_database_of_their_own(url: str, tmp_path: Path) -> None:
    environment = {"EMO_DB_URL": f"sqlite:///{tmp_path}/orders.sqlite", "EMO_TIMESERIES_URL": url}
    _succeeds("migrate", "--verbosity", "0", environment=environment)
    behind = manage("healthcheck", environment=environment)
    assert behind.status == 1
    expected = "there is no file" if BACKEND == "sqlite" else "Run manage.py migrate_all."
    assert expected in behind.out

    assert _succeeds("migrate_all", environment=environment).startswith("== default\n")
    _succeeds("load_demo", environment=environment)
    health = json.loads(_succeeds("healthcheck", "--json", "--database", "timeseries", environment=environment))
    assert health["recorded"] is True
    assert "database:timeseries" in {item["name"] for item in health["components"]}
    tables = _succeeds("shell", "-c", _COUNT, environment=environment).strip().splitlines()[-1]
    assert tables == "default: False 10, timeseries: True 5"


# Which of the two has the time series, and how many rows each kind has.
_COUNT = """
from django.db import connections
from monitoring.models import MarketEvent
from orders.models import StagedOrder
def has(alias): return "market_events" in connections[alias].introspection.table_names()
print(f"default: {has('default')} {StagedOrder.objects.count()},",
      f"timeseries: {has('timeseries')} {MarketEvent.objects.count()}")
"""


def test_the_first_account_gets_a_random_password_once(url: str) -> None:
    environment = {"EMO_DB_URL": url}
    _succeeds("migrate", "--verbosity", "0", environment=environment)
    first = _succeeds("create_admin", environment=environment)
    password = first.split("with the password ")[1].splitlines()[0]
    assert len(password) == 20
    assert _succeeds("create_admin", environment=environment) == "An administrator exists: nothing was changed.\n"


def test_a_report_is_not_written_where_it_cannot_be(url: str, tmp_path: Path) -> None:
    environment = {"EMO_DB_URL": url}
    _succeeds("migrate", "--verbosity", "0", environment=environment)
    ran = manage("export_report", "orders", "--output", f"{tmp_path}/no/folder/x.html", environment=environment)
    assert ran.status == 1
    assert f"{tmp_path}/no/folder/x.html: can't be written (No such file or directory)" in ran.err


def test_the_institutional_report_comes_out_while_the_database_is_down(tmp_path: Path) -> None:
    environment = {"EMO_DB_URL": "postgresql://emo:hush@127.0.0.1:1/emo"}
    path = tmp_path / "report.json"
    _succeeds("export_report", "institutional", "--format", "json", "--output", str(path), environment=environment)
    document = json.loads(path.read_text())
    assert document["database_healthy"] is False
    assert document["total_orders"] is None
    assert document["missing"][0] == "Orders: the default database can't be used."
    assert "hush" not in path.read_text()


def test_the_order_report_says_that_the_orders_cannot_be_read() -> None:
    ran = manage("export_report", "orders", environment={"EMO_DB_URL": "postgresql://emo:hush@127.0.0.1:1/emo"})
    assert ran.status == 2
    assert "The orders can't be read" in ran.err
    assert "hush" not in ran.out + ran.err
