"""Orders as Parquet: what another library reads is what the CSV says, and memory does not grow with the orders."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from django.db import DatabaseError
from django.test import Client

from orders import workflow
from orders.models import OrderAccess, StagedOrder
from reporting import order_export
from tests.factories import NOW, equity, iron_condor, person, staged
from tests.reporting.test_order_review import _desk_with_orders, quote
from tests.run import PROJECT

pytestmark = pytest.mark.django_db


def read(blocks: Iterable[bytes]) -> Any:
    return pyarrow.parquet.ParquetFile(io.BytesIO(b"".join(blocks)))


def as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else "" if value is None else value


def of_csv() -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO("".join(order_export.csv_lines(StagedOrder.objects.all()))))
    return [{name: text.removeprefix("'") for name, text in row.items()} for row in rows]


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_export, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(order_export, "ROWS_IN_GROUP", 3)
    quote()
    tom = person("tom", "trader")
    _desk_with_orders(tom)
    staged(tom, client_order_id="=1+1", strategy="Größe, “so”", expires_at=NOW + timedelta(microseconds=1))
    largest = {"quantity": Decimal("9999999999.99999999"), "price": Decimal("-9999999999.999999")}
    StagedOrder.objects.filter(client_order_id="=1+1").update(**largest, created_at=NOW - timedelta(microseconds=7))


@pytest.mark.usefixtures("orders")
def test_parquet_says_what_the_csv_says() -> None:
    file = read(order_export.parquet(StagedOrder.objects.all()))
    rows = [{name: as_text(value) for name, value in row.items()} for row in file.read().to_pylist()]
    assert rows == of_csv()
    assert len(rows) == StagedOrder.objects.count() == 5
    assert [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)] == [3, 2]


@pytest.mark.usefixtures("orders")
def test_columns_have_the_types_of_the_desk() -> None:
    kinds = {
        field.name: str(field.type) for field in read(order_export.parquet(StagedOrder.objects.all())).schema_arrow
    }
    assert list(kinds) == list(order_export.NAMES)
    assert kinds["created_at"] == kinds["expires_at"] == "timestamp[us, tz=UTC]"
    assert (kinds["price"], kinds["quantity"], kinds["notional"], kinds["risk_score"]) == (
        "decimal128(18, 6)",
        "decimal128(20, 8)",
        "decimal128(22, 6)",
        "decimal128(5, 2)",
    )
    assert kinds["id"] == kinds["created_by"] == kinds["status"] == "string"


def test_no_order_is_a_file_without_rows() -> None:
    file = read(order_export.parquet(StagedOrder.objects.all()))
    assert (file.metadata.num_rows, list(file.schema_arrow.names)) == (0, list(order_export.NAMES))


def test_who_takes_orders_out_as_parquet_is_recorded_and_gets_a_file(client: Client) -> None:
    equity()
    workflow.stage(iron_condor(), created_by=person("tom", "trader"), now=NOW)
    client.force_login(person("viewer"))
    response = client.get("/reports/orders/", {"period": "all", "format": "parquet"})
    assert response.streaming
    assert response["Content-Type"] == "application/vnd.apache.parquet"
    assert response["Content-Disposition"].endswith('.parquet"')
    assert read(response.streaming_content).metadata.num_rows == 1
    access = OrderAccess.objects.latest("at")
    assert (access.kind, access.row_count, access.what) == ("exported", 1, "orders.parquet?period=all")
    page = client.get("/reports/orders/").content.decode()
    assert "format=parquet" in page


@pytest.mark.usefixtures("orders")
def test_what_cannot_be_read_is_an_error_and_no_broken_file(monkeypatch: pytest.MonkeyPatch) -> None:
    read_on = order_export._batches

    def then_lost(orders: Any) -> Any:
        yield next(read_on(orders))
        raise DatabaseError("the server is gone")

    monkeypatch.setattr(order_export, "_batches", then_lost)
    with pytest.raises(DatabaseError, match="the server is gone"):
        order_export.parquet(StagedOrder.objects.all())


_START = """
import json, resource
from datetime import UTC, datetime, timedelta
import django
django.setup()
from orders.models import StagedOrder
start = datetime(2025, 1, 6, tzinfo=UTC)
"""
_FILL = """
from django.contrib.auth.models import User
from django.core.management import call_command
from benchmarks import order_lists, order_review_rows
call_command("migrate", verbosity=0)
people = User.objects.bulk_create(User(username=f"person {n}") for n in range(order_review_rows.PEOPLE))
values = {"low": 0, "high": 199_999, "start": int(start.timestamp()) * 1_000_000, "step": 100.0}
with order_lists._any_first_status():
    order = {**order_review_rows._order(people[0].pk), "status": "'draft'"}
    order |= {"reviewed_by_id": "NULL", "reviewed_at": "NULL"}
    order_lists._run(StagedOrder, order, f"({order_review_rows._source()}) AS made", values)
"""
_EXPORT = """
from reporting import order_export
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def size(orders):
    return sum(map(len, order_export.parquet(orders)))
every = StagedOrder.objects.all()
small = size(every.filter(created_at__lt=start + timedelta(microseconds=100 * 30_000)))
before = peak()
large = size(every)
print(json.dumps({"small": small, "large": large, "grew": peak() - before, "rows": every.count()}))
"""


@pytest.mark.sqlite
def test_memory_stays_flat_at_200_000_orders(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "POSTGRES"))}
    environment = {
        **kept,
        "DJANGO_SETTINGS_MODULE": "emo_site.settings",
        "EMO_ENV": "dev",
        "EMO_DB_URL": f"sqlite:///{tmp_path}/orders.sqlite",
    }

    def run(program: str) -> str:
        command = [sys.executable, "-c", _START + program]
        return subprocess.run(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    run(_FILL)
    found = json.loads(run(_EXPORT))
    assert found["rows"] == 200_000
    # After the first thirty thousand, which fill a group and a half.
    assert found["large"] > 5 * found["small"]
    assert found["grew"] < 16
