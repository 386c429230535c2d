"""Whoever sees an order, or takes orders out, leaves a row; nobody sees one that could not be recorded."""

from __future__ import annotations

import logging
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, ProgrammingError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from emo_site.db import replicas
from orders import access
from orders.choices import AccessKind
from orders.models import OrderAccess, StagedOrder
from tests.factories import NOW, equity, person, staged


@pytest.fixture
def order(db: None) -> StagedOrder:
    equity()
    return staged(person("trader", "trader"))


@pytest.fixture
def auditor(db: None) -> User:
    return person("ada", "auditor")


@pytest.fixture
def client(auditor: User) -> Client:
    client = Client()
    client.force_login(auditor)
    return client


def page_of(order: StagedOrder) -> str:
    return f"/admin/orders/stagedorder/{order.pk}/change/"


def rows() -> list[tuple[Any, ...]]:
    found = OrderAccess.objects.order_by("at", "id")
    return list(found.values_list("kind", "actor__username", "actor_name", "order", "what", "row_count", "environment"))


def test_view_and_export_leave_a_row(
    order: StagedOrder, auditor: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # On a server the transaction says first that it waits for no standby.
    with django_assert_num_queries(1 if connection.vendor == "sqlite" else 2):
        access.record_view(order, actor=auditor, what="order page", now=NOW)
    access.record_export(actor="export_report", what="orders.csv?status=all", row_count=12, now=NOW)
    assert sorted(rows()) == [
        (AccessKind.EXPORTED, None, "export_report", None, "orders.csv?status=all", 12, "dev"),
        (AccessKind.VIEWED, "ada", "ada", order.pk, "order page", 1, "dev"),
    ]
    assert set(OrderAccess.objects.values_list("at", flat=True)) == {NOW}


def test_what_is_too_long_is_shortened(order: StagedOrder, auditor: User) -> None:
    access.record_export(actor=auditor, what="x" * 300, row_count=1, now=NOW, order=order)
    assert OrderAccess.objects.get().what == "x" * 254 + "…"


def test_order_page_is_recorded_each_time(order: StagedOrder, client: Client) -> None:
    for _ in range(2):
        assert client.get(page_of(order)).status_code == 200
    assert rows() == [(AccessKind.VIEWED, "ada", "ada", order.pk, "order page", 1, "dev")] * 2


def test_dossier_is_recorded_as_it_is_read_and_as_it_is_taken_out(
    order: StagedOrder, client: Client, tmp_path: Path
) -> None:
    url, file = f"/admin/orders/stagedorder/{order.pk}/dossier/", tmp_path / "dossier.html"
    assert client.get(url).status_code == 200
    assert client.get(f"{url}?download").status_code == 200
    call_command("order_dossier", str(order.pk), output=file, stdout=StringIO())
    read, taken, written = rows()
    assert read == (AccessKind.VIEWED, "ada", "ada", order.pk, "dossier", 1, "dev")
    assert taken == (AccessKind.EXPORTED, "ada", "ada", order.pk, f"dossier-{order.pk}.html", 1, "dev")
    assert written[:2] == (AccessKind.EXPORTED, None)
    assert written[2].startswith("order_dossier by ")
    assert written[3:] == (order.pk, f"dossier: {file}", 1, "dev")


def test_order_page_costs_one_insert(
    order: StagedOrder, client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(100, exact=False) as whole:
        client.get(page_of(order))
    monkeypatch.setattr(access, "_write", lambda access: None)
    with django_assert_num_queries(len(whole) - (1 if connection.vendor == "sqlite" else 2)):
        client.get(page_of(order))


def test_lists_and_pages_that_are_not_there_are_not_recorded(order: StagedOrder, client: Client) -> None:
    assert client.get("/admin/orders/stagedorder/?status=all").status_code == 200
    assert client.get(f"/admin/orders/stagedorder/{OTHER}/change/").status_code == 404
    assert rows() == []


OTHER = "00000000-0000-7000-8000-000000000001"


def test_who_may_not_see_an_order_is_not_recorded_as_having_seen_it(order: StagedOrder) -> None:
    stranger = Client()
    stranger.force_login(person("stranger"))
    assert stranger.get(page_of(order)).status_code == 403
    assert rows() == []


def test_page_that_can_not_be_recorded_is_not_shown(
    order: StagedOrder, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(access: OrderAccess) -> None:
        raise ProgrammingError("permission denied for table order_accesses")

    monkeypatch.setattr(access, "_write", refuse)
    with pytest.raises(ProgrammingError, match="permission denied"):
        client.get(page_of(order))


def lost(access: OrderAccess) -> None:
    raise OperationalError("lost") from psycopg.OperationalError("server closed the connection")


def full(access: OrderAccess) -> None:
    raise DatabaseError("full") from psycopg.errors.DiskFull("no space left")


@pytest.mark.parametrize(
    ("outage", "reason"),
    [(lost, "The connection to the database was lost."), (full, "The database's disk is full.")],
)
def test_page_is_recorded_in_the_log_while_the_database_takes_no_writes(
    order: StagedOrder,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    outage: Any,
    reason: str,
) -> None:
    monkeypatch.setattr(access, "_write", outage)
    with caplog.at_level(logging.WARNING, logger="emo.audit"):
        assert client.get(page_of(order)).status_code == 200
    [message] = [record.getMessage() for record in caplog.records if record.name == "emo.audit"]
    assert message.startswith(f"ada viewed: 'order page', order {order.pk}, 1 orders, at 20")
    assert message.endswith(f"; not in the database: {reason}")
    assert rows() == []


@pytest.mark.parametrize("name", ["takes_any", "primary_is_down"])
def test_nobody_waits_for_a_primary_that_is_known_to_be_away(
    order: StagedOrder, auditor: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setattr(replicas, name, lambda: True)
    with caplog.at_level(logging.WARNING, logger="emo.audit"):
        access.record_view(order, actor=auditor, what="order page", now=NOW)
    assert caplog.messages == [
        f"ada viewed: 'order page', order {order.pk}, 1 orders, at 2025-11-03T15:00:00+00:00;"
        " not in the database: The primary is away."
    ]
    assert rows() == []


@pytest.mark.parametrize("report", ["orders", "institutional"])
def test_report_that_is_taken_out_is_recorded_and_one_that_is_looked_at_is_not(
    order: StagedOrder, client: Client, report: str
) -> None:
    assert client.get(f"/reports/{report}/").status_code == 200
    assert rows() == []
    # The order is older than the orders' page looks back by itself.
    period = "&period=all" if report == "orders" else ""
    assert client.get(f"/reports/{report}/?format=json{period}").status_code == 200
    assert rows() == [(AccessKind.EXPORTED, "ada", "ada", None, f"{report} report, json", 1, "dev")]


def test_report_that_a_command_writes_is_recorded(order: StagedOrder, tmp_path: Path) -> None:
    file = tmp_path / "orders.html"
    call_command("export_report", "orders", "--output", str(file))
    [(kind, user, name, of, what, count, _)] = rows()
    assert (kind, user, of, what, count) == (AccessKind.EXPORTED, None, None, f"orders report, html: {file}", 1)
    assert name.startswith("export_report by ")


def test_auditor_finds_accesses_by_order_and_by_person(order: StagedOrder, auditor: User, client: Client) -> None:
    access.record_view(order, actor=auditor, what="order page", now=NOW)
    access.record_export(actor="export_report", what="orders report, json", row_count=3, now=NOW)
    listed = "/admin/orders/orderaccess/"
    for query, there, missing in (
        ("", ["order page", "orders report, json"], []),
        (f"?q={order.pk}", ["order page"], ["orders report, json"]),
        ("?q=ada", ["order page"], ["orders report, json"]),
        ("?q=export_report", ["orders report, json"], ["order page"]),
        ("?q=nobody", [], ["order page", "orders report, json"]),
    ):
        page = client.get(f"{listed}{query}").content.decode()
        assert all(word in page for word in there), query
        assert not any(word in page for word in missing), query
    row = OrderAccess.objects.filter(order=order).get()
    assert client.post(f"{listed}{row.pk}/change/", {"what": "nothing"}).status_code == 403
    assert client.post(f"{listed}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{listed}add/").status_code == 403


def test_list_of_accesses_costs_the_same_however_long_it_is(
    order: StagedOrder, auditor: User, client: Client, django_assert_num_queries: Any
) -> None:
    access.record_view(order, actor=auditor, what="order page", now=NOW)
    with django_assert_num_queries(50, exact=False) as one:
        client.get("/admin/orders/orderaccess/")
    for _ in range(5):
        access.record_view(order, actor=auditor, what="order page", now=NOW)
    with django_assert_num_queries(len(one)):
        client.get("/admin/orders/orderaccess/")
