"""A database of each earlier release, restored from its dump, comes forward with its data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import BACKEND
from tests.desk import empty_database, manage
from tests.upgrades import dumps
from tests.upgrades.dumps import Dump

DUMPS = dumps.all_dumps()
ENGINE = "sqlite" if BACKEND == "sqlite" else "postgresql"
# Migrations add to these: permissions of new models, schedules, groups, changed days.
MAY_GROW = {
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_content_type",
    "django_migrations",
    "schedules",
}
# Performance is derived: a migration empties it, and the roll-up writes it anew.
WRITTEN_ANEW = {"strategy_performance"}

_PAGES = """
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from orders.models import StagedOrder
client = Client(SERVER_NAME="localhost")
client.force_login(User.objects.create_superuser("looks"))
order = reverse("admin:orders_stagedorder_change", args=[StagedOrder.objects.first().pk])
for path in ["/reports/orders/", "/reports/strategies/", "/reports/institutional/", order]:
    print("page", path, client.get(path).status_code)
"""


def test_there_is_a_dump_of_every_release_and_each_is_small() -> None:
    assert len(DUMPS) >= 5
    for dump in DUMPS:
        assert re.fullmatch(r"\d\d-[a-z-]+", dump.name)
        assert re.fullmatch(r"[0-9a-f]{40}", dump.commit)
        for engine in ("sqlite", "postgresql"):
            assert dump.path(engine).stat().st_size <= dumps.MOST_BYTES
            assert dump.rows[engine]["staged_orders"] > 0
            assert dump.rows[engine]["order_events"] > 0


# The dumps of PostgreSQL are brought forward there; on TimescaleDB the newest shows what becomes a hypertable.
@pytest.mark.parametrize("dump", DUMPS if BACKEND != "timescaledb" else DUMPS[-1:], ids=lambda dump: dump.name)
def test_release_comes_forward_with_its_data(dump: Dump, tmp_path: Path) -> None:
    with empty_database(tmp_path) as url:
        environment = {"EMO_ENV": "dev", "EMO_DB_URL": url}

        def succeeds(*arguments: str) -> str:
            ran = manage(*arguments, environment=environment)
            assert ran.status == 0, ran.out + ran.err
            return ran.out

        dumps.restore(dump, url)
        before = dumps.rows(url)
        assert before == dump.rows[ENGINE]
        succeeds("migrate_all", "--verbosity", "0")
        succeeds("migrate_all", "--check")
        after = dumps.rows(url)
        lost = {
            table: (count, after.get(table))
            for table, count in before.items()
            if table not in WRITTEN_ANEW
            and not (after.get(table) == count or (table in MAY_GROW and after.get(table, 0) >= count))
        }
        assert lost == {}
        succeeds("verify_audit")
        succeeds("order_facts", "check")
        if "positions" not in before:
            # They came later, and no migration makes them of older fills (docs/upgrade.md).
            assert manage("positions", "check", environment=environment).status == 1
            succeeds("positions", "rebuild")
        succeeds("positions", "check")
        succeeds("rollup_performance")
        pages = re.findall(r"^page (\S+) (\d+)$", succeeds("shell", "-c", _PAGES), re.MULTILINE)
        assert [status for _, status in pages] == ["200"] * 4, pages
