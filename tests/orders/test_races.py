"""Several people at one order at the same moment, each in a thread with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connections

from orders import positions, workflow
from orders.fill import Fill
from orders.models import Position, StagedOrder
from orders.workflow import Refused
from tests.factories import NOW, equity, person, staged

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("emptied_afterwards")]

D = Decimal
LATER = NOW + timedelta(minutes=5)
ROUNDS = 100


def at_once(*actions: Callable[[], object]) -> list[str]:
    """Runs the actions as nearly at one moment as threads can; the code of each one's refusal, "" where it won."""
    barrier = threading.Barrier(len(actions))
    codes = ["did not end"] * len(actions)

    def run(place: int, action: Callable[[], object]) -> None:
        try:
            # Connected before the start, so that the race is for the order and not for the server.
            connections["default"].ensure_connection()
            barrier.wait(timeout=20)
            action()
            codes[place] = ""
        except Refused as refused:
            codes[place] = refused.code
        except Exception as error:
            codes[place] = repr(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return codes


@pytest.fixture
def people() -> tuple[User, User, User]:
    equity()
    return person("trader", "trader"), person("one", "reviewer"), person("two", "reviewer")


def submitted(trader: User, reviewer: User, **changes: object) -> StagedOrder:
    order = staged(trader, **changes)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    return workflow.submit(order.pk, actor=trader, now=NOW)


def fill(identifier: str, quantity: int = 1) -> Fill:
    return Fill(execution_id=identifier, price=D("400.50"), quantity=D(quantity), executed_at=LATER)


def whole(order: StagedOrder) -> None:
    order.refresh_from_db()
    assert list(order.events.values_list("sequence", flat=True)) == list(range(1, order.event_count + 1))
    assert order.events.last().to_status == order.status


def test_of_two_reviewers_exactly_one_approves(people: tuple[User, User, User]) -> None:
    trader, one, two = people
    winners = []
    for _ in range(ROUNDS):
        order = staged(trader)
        codes = at_once(
            lambda order=order: workflow.approve(order.pk, actor=one, now=LATER),
            lambda order=order: workflow.approve(order.pk, actor=two, now=LATER),
        )
        assert sorted(codes) in (["", "CHANGED_MEANWHILE"], ["", "ILLEGAL_TRANSITION"])
        whole(order)
        assert order.reviewed_by == (one, two)[codes.index("")]
        assert order.event_count == 2
        winners.append(max(codes))
    assert "CHANGED_MEANWHILE" in winners, "no two were ever at it at the same moment"


def test_of_an_approval_and_a_rejection_exactly_one_holds(people: tuple[User, User, User]) -> None:
    trader, one, two = people
    for _ in range(ROUNDS // 4):
        order = staged(trader)
        codes = at_once(
            lambda order=order: workflow.approve(order.pk, actor=one, now=LATER),
            lambda order=order: workflow.reject(order.pk, actor=two, now=LATER, reason="no"),
        )
        assert codes.count("") == 1
        whole(order)
        assert order.status == ("approved", "rejected")[codes.index("")]


def test_positions_built_anew_while_first_fills_of_instruments_come_in_are_those_of_the_fills(
    people: tuple[User, User, User],
) -> None:
    trader, one, _ = people
    for number in range(15):
        order = submitted(trader, one, symbol=f"S{number}", quantity=D(1))
        codes = at_once(
            lambda order=order: workflow.record_execution(order.pk, fill(f"f-{order.pk}"), actor=trader, now=LATER),
            lambda order=order: positions.rebuild("dev", order.strategy, None, now=LATER),
            lambda order=order: positions.rebuild("dev", order.strategy, order.symbol, now=LATER),
        )
        assert codes == ["", "", ""]
    assert Position.objects.exclude(quantity=0).count() == 15
    assert list(positions.differences()) == []


def test_approval_and_withdrawal_end_in_the_withdrawal_or_in_one_of_them(people: tuple[User, User, User]) -> None:
    trader, one, _ = people
    for _ in range(ROUNDS // 4):
        order = staged(trader)
        approved, cancelled = at_once(
            lambda order=order: workflow.approve(order.pk, actor=one, now=LATER),
            lambda order=order: workflow.cancel(order.pk, actor=trader, now=LATER),
        )
        whole(order)
        # Whoever approves first may be followed by a withdrawal; a withdrawn order is never approved.
        assert order.status == ("cancelled" if cancelled == "" else "approved")
        assert {approved, cancelled} <= {"", "CHANGED_MEANWHILE", "ILLEGAL_TRANSITION"}
        assert "" in (approved, cancelled)
        assert order.event_count == 1 + [approved, cancelled].count("")


def test_order_is_handed_to_the_broker_once(people: tuple[User, User, User]) -> None:
    trader, one, _ = people
    for _ in range(ROUNDS // 4):
        order = workflow.approve(staged(trader).pk, actor=one, now=NOW)
        submit = lambda order=order: workflow.submit(order.pk, actor=trader, now=LATER)  # noqa: E731
        # Whoever comes second is told what is so, or that somebody was faster.
        assert "" in at_once(submit, submit)
        whole(order)
        assert order.event_count == 3


def test_same_fill_twice_at_once_is_booked_once(people: tuple[User, User, User]) -> None:
    trader, one, _ = people
    for number in range(ROUNDS // 4):
        order = submitted(trader, one)
        book = lambda order=order, number=number: workflow.record_execution(  # noqa: E731
            order.pk, fill(f"x{number}"), actor=trader, now=LATER
        )
        assert sorted(at_once(book, book)) == ["", "DUPLICATE_EXECUTION"]
        whole(order)
        assert (order.filled_quantity, order.executions.count(), order.event_count) == (D(1), 1, 4)


def test_same_fill_at_once_on_two_orders_is_booked_on_one(people: tuple[User, User, User]) -> None:
    trader, one, _ = people
    for number in range(ROUNDS // 4):
        pair = [submitted(trader, one) for _ in range(2)]
        codes = at_once(
            *(
                lambda order=order, number=number: workflow.record_execution(
                    order.pk, fill(f"y{number}"), actor=trader, now=LATER
                )
                for order in pair
            )
        )
        assert sorted(codes) == ["", "DUPLICATE_EXECUTION"]
        for order, code in zip(pair, codes, strict=True):
            whole(order)
            assert order.filled_quantity == (D(0) if code else D(1))


def test_different_fills_at_once_are_all_counted(people: tuple[User, User, User]) -> None:
    trader, one, _ = people
    for number in range(ROUNDS // 4):
        order = submitted(trader, one, quantity=D(3))
        codes = at_once(
            *(
                lambda order=order, name=f"{number}{part}": workflow.record_execution(
                    order.pk, fill(name), actor=trader, now=LATER
                )
                for part in "abc"
            )
        )
        assert codes == ["", "", ""]
        whole(order)
        assert (order.status, order.filled_quantity) == ("executed", D(3))
        assert order.event_count == 6


def test_fill_that_races_a_withdrawal_is_never_lost(people: tuple[User, User, User]) -> None:
    trader, one, _ = people
    for number in range(ROUNDS // 4):
        order = submitted(trader, one, quantity=D(2))
        booked, cancelled = at_once(
            lambda order=order, number=number: workflow.record_execution(
                order.pk, fill(f"z{number}"), actor=trader, now=LATER
            ),
            lambda order=order: workflow.cancel(order.pk, actor=trader, now=LATER),
        )
        assert booked == ""
        assert cancelled in ("", "CHANGED_MEANWHILE")
        whole(order)
        assert (order.filled_quantity, order.executions.count()) == (D(1), 1)


def test_same_client_order_id_at_once_is_staged_once(people: tuple[User, User, User]) -> None:
    trader, _, _ = people
    for number in range(ROUNDS // 4):
        stage = lambda number=number: staged(trader, client_order_id=f"c{number}")  # noqa: E731
        assert sorted(at_once(stage, stage)) == ["", "DUPLICATE_CLIENT_ORDER_ID"]
    assert StagedOrder.objects.count() == ROUNDS // 4


def test_groups_are_there_after_the_tables_were_emptied(people: tuple[User, User, User]) -> None:
    _, one, _ = people
    assert one.has_perm("orders.review_stagedorder")
