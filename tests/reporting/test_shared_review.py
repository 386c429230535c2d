"""Many viewers share one order review, and none of them sees one from before a decision."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from orders import workflow
from orders.fill import Fill
from orders.models import StagedOrder
from reporting import order_review, order_scope, shared_review
from reporting.order_scope import Scope
from reporting.shared_review import SharedReviews, version
from tests.factories import NOW, equity, person, staged

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(seconds=30)


@pytest.fixture
def people() -> dict[str, User]:
    equity()
    return {"tom": person("tom", "trader"), "rob": person("rob", "reviewer")}


def scope(**asked: str) -> Scope:
    return order_scope.parse(asked, now=NOW)


def test_whoever_looks_again_asks_for_the_version_only(
    people: dict[str, User], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    staged(people["tom"])
    shared = SharedReviews()
    first = shared.current(scope(), NOW)
    with django_assert_num_queries(2):
        again = shared.current(scope(), NOW + timedelta(seconds=20))
    assert again is first
    assert shared.current(scope(), NOW + timedelta(minutes=1)) is not first


def test_every_step_makes_another_version(people: dict[str, User]) -> None:
    tom, rob = people["tom"], people["rob"]
    order = staged(tom)
    other = staged(tom)
    fill = Fill(execution_id="f", price=Decimal("400.40"), quantity=Decimal(1), executed_at=NOW)
    steps = [
        lambda: workflow.ask_changes(order.pk, actor=rob, now=NOW, reason="why?"),
        lambda: workflow.rejudge(order.pk, actor=tom, now=NOW),
        lambda: workflow.approve(order.pk, actor=rob, now=NOW),
        lambda: workflow.submit(order.pk, actor=tom, now=NOW),
        lambda: workflow.record_execution(order.pk, fill, actor=tom, now=NOW),
        lambda: workflow.bust_execution("f", bust_id="g", actor=tom, now=NOW, reason="no"),
        lambda: workflow.cancel(order.pk, actor=tom, now=NOW),
        lambda: workflow.reject(other.pk, actor=rob, now=NOW, reason="no"),
        lambda: staged(tom),
    ]
    seen = [version(scope(), "default")]
    for step in steps:
        step()
        seen.append(version(scope(), "default"))
        assert seen[-1] > seen[-2]
    assert sum(StagedOrder.objects.values_list("event_count", flat=True)) == seen[-1][0]


def test_a_decision_is_seen_by_the_next_look(people: dict[str, User]) -> None:
    order = staged(people["tom"])
    shared = SharedReviews()
    for asked in ({}, {"strategy": "momentum"}, {"period": "all"}):
        assert shared.current(scope(**asked), NOW).report.by_status == {"pending_review": 1}
    workflow.reject(order.pk, actor=people["rob"], now=NOW, reason="no")
    for asked in ({}, {"strategy": "momentum"}, {"period": "all"}):
        assert shared.current(scope(**asked), NOW).report.by_status == {"rejected": 1}
    assert shared.current(scope(status="rejected"), NOW).report.total_orders == 1


def test_what_changes_while_a_review_is_made_is_in_the_next_one(
    people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = staged(people["tom"])
    shared, build = SharedReviews(), order_review.build_page

    def meanwhile(*args: object, **options: object) -> object:
        made = build(*args, **options)  # type: ignore[arg-type]
        if order.status == "pending_review":
            order.status = "rejected"
            workflow.reject(order.pk, actor=people["rob"], now=NOW, reason="no")
        return made

    monkeypatch.setattr(shared_review, "build_page", meanwhile)
    assert shared.current(scope(), NOW).report.by_status == {"pending_review": 1}
    assert shared.current(scope(), NOW).report.by_status == {"rejected": 1}


def test_the_period_before_is_a_part_of_the_version(people: dict[str, User]) -> None:
    equity(at=NOW - timedelta(days=40, minutes=1))
    before = version(scope(), "default")
    staged(people["tom"], now=NOW - timedelta(days=40))
    assert version(scope(), "default") > before


def test_as_many_are_kept_as_were_asked_for_last(people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_review, "KEPT", 2)
    shared = SharedReviews()
    first, second = shared.current(scope(), NOW), shared.current(scope(strategy="a"), NOW)
    assert shared.current(scope(), NOW) is first
    shared.current(scope(strategy="b"), NOW)
    assert shared.current(scope(), NOW) is first
    assert shared.current(scope(strategy="a"), NOW) is not second


def test_page_of_one_person_holds_nothing_of_another(people: dict[str, User], client: Client) -> None:
    client.force_login(people["tom"])
    assert b"<span>tom</span>" in client.get("/reports/orders/").content
    client.force_login(people["rob"])
    html = client.get("/reports/orders/").content
    assert b"<span>rob</span>" in html
    assert b"<span>tom</span>" not in html
