"""Several roll-ups at the same moment, and fills that come in meanwhile, each in a thread with its own connection."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from orders import workflow
from orders.choices import Side
from orders.fill import Fill
from reporting import rollup
from reporting.models import RollUp, StrategyPerformance
from reporting.rollup import Request
from tests.factories import equity
from tests.orders.test_races import at_once
from tests.reporting.test_rollup import DAY, LATER, NOW, Desk, contents

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("emptied_afterwards")]

ROUNDS = 10


@pytest.fixture
def desk() -> Desk:
    equity(at=NOW - DAY)
    return Desk()


def roll_all() -> None:
    rollup.roll_up(Request(), now=LATER)


def test_roll_ups_at_once_write_each_row_once(desk: Desk) -> None:
    for day in range(4):
        desk.trade(day, Side.BUY, "400")
        desk.trade(day, Side.SELL, "402")
    wanted: list[object] | None = None
    roll_all()
    for _ in range(ROUNDS):
        StrategyPerformance.objects.all().delete()
        # Known before, as at every roll-up but the first.
        RollUp.objects.update(executions=0)
        assert at_once(*[roll_all] * 4) == [""] * 4
        found = [{name: value for name, value in each.items() if name != "id"} for each in contents()]
        assert len(found) == 7
        assert RollUp.objects.count() == 1
        assert wanted is None or found == wanted
        wanted = found


def test_fills_that_come_in_during_a_roll_up_are_in_the_next_one(desk: Desk) -> None:
    order = desk.order(0, quantity=Decimal(ROUNDS), price=Decimal(40))

    def book(number: int) -> None:
        at = NOW + timedelta(minutes=number)
        fill = Fill(execution_id=f"f-{number}", price=Decimal(40), quantity=Decimal(1), executed_at=at)
        workflow.record_execution(order.pk, fill, actor=desk.trader, now=at)

    for number in range(ROUNDS):
        assert at_once(lambda number=number: book(number), roll_all, roll_all) == [""] * 3
        roll_all()
        [row] = StrategyPerformance.objects.filter(period="all")
        assert Decimal(row.risk_metrics["held"][0]["quantity"]) == number + 1
        assert RollUp.objects.get().executions == number + 1
