"""Facts that are not what follows from their orders are told, and made anew."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from orders import facts_check, workflow
from orders.facts_check import MISSING, Difference
from orders.fill import Fill
from orders.models import OrderDayChange, OrderFacts, StagedOrder
from tests.factories import NOW, equity, person, staged

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders() -> list[StagedOrder]:
    """One that waits, one that was approved and filled in two parts, of which one was put right."""
    equity()
    tom, rita = person("tom", "trader"), person("rita", "reviewer")
    waiting, filled = staged(tom), staged(tom)
    workflow.approve(filled.pk, actor=rita, now=NOW)
    workflow.submit(filled.pk, actor=tom, now=NOW)
    for number in ("1", "2"):
        fill = Fill(execution_id=number, price=Decimal(400), quantity=Decimal(1), executed_at=NOW, fees=Decimal("0.5"))
        workflow.record_execution(filled.pk, fill, actor=tom, now=NOW)
    later = NOW + timedelta(minutes=1)
    right = Fill(execution_id="3", price=Decimal(401), quantity=Decimal(1), executed_at=NOW, fees=Decimal("0.7"))
    workflow.correct_execution("2", right, actor=tom, now=later, reason="mistyped")
    return [waiting, filled]


def check() -> str:
    out = StringIO()
    call_command("order_facts", "check", stdout=out)
    return out.getvalue()


def test_facts_that_were_written_with_their_orders_do_not_differ(orders: list[StagedOrder]) -> None:
    assert list(facts_check.differences()) == []
    assert check() == "The facts of every order are what follows from it.\n"
    assert facts_check.rebuild() == 0


def test_every_column_that_differs_is_told_and_made_anew(
    orders: list[StagedOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_check, "AT_ONCE", 1)
    waiting, filled = orders
    before = OrderFacts.objects.filter(pk=filled.pk).values().get()
    OrderFacts.objects.filter(pk=waiting.pk).delete()
    OrderFacts.objects.filter(pk=filled.pk).update(fees=7, points_order_notional=9_999, strategy="another")
    OrderDayChange.objects.all().delete()

    # Both were staged in the same moment: either may come first.
    assert sorted(facts_check.differences(), key=lambda each: each.order != waiting.pk) == [
        Difference(order=waiting.pk, column=MISSING, on_record=None, follows="a row"),
        Difference(order=filled.pk, column="strategy", on_record="another", follows="momentum"),
        Difference(order=filled.pk, column="fees", on_record=7, follows=12_000),
        Difference(
            order=filled.pk,
            column="points_order_notional",
            on_record=9_999,
            follows=before["points_order_notional"],
        ),
    ]
    with pytest.raises(CommandError, match="4 columns differ; `order_facts rebuild` makes them anew") as error:
        check()
    assert error.value.returncode == 1

    assert facts_check.rebuild() == 2
    assert list(facts_check.differences()) == []
    assert OrderFacts.objects.filter(pk=filled.pk).values().get() == before
    # Whoever summed the day up must do so again.
    assert OrderDayChange.objects.values_list("day", flat=True).distinct().get() == before["day"]
