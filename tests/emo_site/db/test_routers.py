"""Which database an app lives in."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from emo_site.db import aliases, routers
from monitoring.models import MarketEvent
from orders.models import StagedOrder

ONE = {"default": {}}
TWO = {"default": {}, "timeseries": {}, "replica1": {}}
SPREAD = {"default": {}, "shard1": {}, "shard2": {}}
APPS = ["auth", "orders", "monitoring", "reporting"]


@pytest.mark.parametrize(
    ("databases", "app", "alias"),
    [
        (ONE, "orders", "default"),
        (ONE, "monitoring", "default"),
        (TWO, "orders", "default"),
        (TWO, "auth", "default"),
        (TWO, "monitoring", "timeseries"),
        (SPREAD, "monitoring", "default"),
    ],
)
def test_whole_app_lives_in_one_database(
    monkeypatch: pytest.MonkeyPatch, databases: dict[str, Any], app: str, alias: str
) -> None:
    monkeypatch.setattr(settings, "DATABASES", databases)
    assert aliases.database_of(app) == alias


@pytest.mark.parametrize(
    ("databases", "alias", "apps"),
    [
        (ONE, "default", APPS),
        (TWO, "default", ["auth", "orders", "reporting"]),
        (TWO, "timeseries", ["monitoring"]),
        (TWO, "replica1", ["auth", "orders", "reporting"]),
        (SPREAD, "default", APPS),
        (SPREAD, "shard2", ["monitoring"]),
    ],
)
def test_apps_of_a_database(
    monkeypatch: pytest.MonkeyPatch, databases: dict[str, Any], alias: str, apps: list[str]
) -> None:
    monkeypatch.setattr(settings, "DATABASES", databases)
    assert aliases.apps_of(alias, APPS) == apps


def test_outside_a_replica_block_reads_and_writes_go_to_the_same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASES", TWO)
    router = routers.AppRouter()
    for model, alias in ((StagedOrder, "default"), (MarketEvent, "timeseries")):
        assert (router.db_for_read(model), router.db_for_write(model)) == (alias, alias)


def test_app_is_migrated_only_where_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASES", TWO)
    router = routers.AppRouter()
    allowed = {(db, app) for db in TWO for app in APPS if router.allow_migrate(db, app)}
    assert allowed == {
        ("default", "auth"),
        ("default", "orders"),
        ("default", "reporting"),
        ("timeseries", "monitoring"),
    }


def test_a_shard_has_the_tables_of_the_time_series_and_no_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASES", SPREAD)
    router = routers.AppRouter()
    assert [app for app in APPS if router.allow_migrate("shard1", app)] == ["monitoring"]
    assert [app for app in APPS if router.allow_migrate("default", app)] == APPS
    assert router.db_for_write(MarketEvent) == "default"


def test_rows_of_two_databases_are_never_related(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DATABASES", TWO)
    router = routers.AppRouter()
    assert router.allow_relation(StagedOrder(), User())
    assert not router.allow_relation(StagedOrder(), MarketEvent())
