"""Fills that come late, twice, out of order or for nobody; what the broker puts right or takes back; positions."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from orders import fills, holdings, positions, unmatched, workflow
from orders.choices import FillKind, OrderStatus, Side
from orders.fill import Fill
from orders.instruments import terms_of_symbol
from orders.models import ExecutedOrder, Position, StagedOrder, UnmatchedFill
from orders.refusal import Refused
from tests.factories import NOW, equity, iron_condor, person, staged

pytestmark = pytest.mark.django_db
D = Decimal
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def trader() -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer() -> User:
    return person("reviewer", "reviewer")


def sent(trader: User, reviewer: User, **changes: object) -> StagedOrder:
    order = staged(trader, **changes)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    return workflow.submit(order.pk, actor=trader, now=NOW)


def fill(identifier: str, quantity: str = "1", price: str = "400.50", **changes: object) -> Fill:
    values = {"execution_id": identifier, "price": D(price), "quantity": D(quantity), "executed_at": LATER}
    return Fill(**{**values, **changes})  # type: ignore[arg-type]


def book(order: StagedOrder, *args: str, by: User, **changes: object) -> ExecutedOrder:
    return fills.record_execution(order.pk, fill(*args, **changes), actor=by, now=LATER)


def code(action: object) -> str:
    with pytest.raises(Refused) as error:
        action()  # type: ignore[operator]
    return error.value.code


def held() -> dict[str, tuple[Decimal, Decimal]]:
    return {row.instrument: (row.quantity, row.cost) for row in Position.objects.exclude(quantity=0)}


# ---- corrections and busts -------------------------------------------------------------------------------------------


def test_correction_takes_the_place_of_a_fill_and_the_old_row_stays(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer)
    old = book(order, "a", "2", "401", by=trader)
    new = fills.correct_execution("a", fill("a-1", "2", "399"), actor=trader, now=LATER, reason="wrong price")
    order.refresh_from_db()
    assert (new.kind, new.corrects, order.average_fill_price) == (FillKind.CORRECTION, old, D(399))
    assert held() == {"SPY": (D(2), D(798))}
    assert ExecutedOrder.objects.get(execution_id="a").execution_price == D(401)
    assert order.events.last().kind == "corrected"
    assert order.events.last().seen["corrects"] == "a"


def test_bust_takes_a_fill_back(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer)
    book(order, "a", by=trader)
    book(order, "b", "1", "402", by=trader)
    fills.bust_execution("b", bust_id="b-x", actor=trader, now=LATER, reason="erroneous trade")
    order.refresh_from_db()
    # Executed is the end of an order: what was taken back shows in what is filled.
    assert (order.status, order.filled_quantity, order.average_fill_price) == ("executed", D(1), D("400.5"))
    assert held() == {"SPY": (D(1), D("400.5"))}
    book(order, "c", by=trader)
    order.refresh_from_db()
    assert order.filled_quantity == D(2)


def test_fill_is_set_aside_once(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer)
    book(order, "a", by=trader)

    def bust(which: str, name: str) -> ExecutedOrder:
        return fills.bust_execution(which, bust_id=name, actor=trader, now=LATER, reason="no")

    bust("a", "a-x")
    assert code(lambda: bust("a", "a-y")) == "CORRECTED_BEFORE"
    assert code(lambda: bust("a-x", "a-z")) == "NOT_A_FILL"
    assert code(lambda: bust("none", "n")) == "UNKNOWN_EXECUTION"
    with pytest.raises(Refused, match="reason"):
        fills.bust_execution("a", bust_id="q", actor=trader, now=LATER, reason="")


def test_correction_may_be_corrected_and_its_id_is_taken_once(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer)
    book(order, "a", "1", "401", by=trader)
    fills.correct_execution("a", fill("b", "1", "400"), actor=trader, now=LATER, reason="x")
    assert (
        code(lambda: fills.correct_execution("b", fill("a", "1", "1"), actor=trader, now=LATER, reason="x"))
        == "DUPLICATE_EXECUTION"
    )
    fills.correct_execution("b", fill("c", "2", "399"), actor=trader, now=LATER, reason="y")
    order.refresh_from_db()
    assert (order.status, order.filled_quantity, order.average_fill_price) == ("executed", D(2), D(399))


def test_wrong_person_corrects_nothing(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer)
    book(order, "a", by=trader)
    assert (
        code(lambda: fills.bust_execution("a", bust_id="x", actor=reviewer, now=LATER, reason="r")) == "NOT_PERMITTED"
    )


def test_fill_is_never_edited(trader: User, reviewer: User) -> None:
    book(sent(trader, reviewer), "a", by=trader)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        ExecutedOrder.objects.update(execution_price=D(1))


# ---- late, too much, for nobody --------------------------------------------------------------------------------------


def test_fill_for_an_unknown_order_is_kept_and_booked_when_the_order_is_there(trader: User, reviewer: User) -> None:
    kept = unmatched.receive("bot-7", fill("a"), actor=trader, now=LATER)
    assert isinstance(kept, UnmatchedFill)
    assert kept.reason == "UNKNOWN_ORDER: There is no order 'bot-7' in dev."
    assert [tried.booked for tried in unmatched.match_all(actor=trader, now=LATER)] == [None]
    order = sent(trader, reviewer, client_order_id="bot-7")
    (tried,) = unmatched.match_all(actor=trader, now=LATER)
    assert tried.booked is not None
    order.refresh_from_db()
    kept.refresh_from_db()
    assert (order.filled_quantity, kept.matched_to, kept.matched_by) == (D(1), tried.booked, "trader")
    assert list(unmatched.match_all(actor=trader, now=LATER)) == []


def test_fill_that_came_before_its_submission_waits_for_it(trader: User, reviewer: User) -> None:
    order = staged(trader, client_order_id="bot-8")
    kept = unmatched.receive("bot-8", fill("a"), actor=trader, now=LATER)
    assert isinstance(kept, UnmatchedFill)
    assert kept.reason.startswith("NOT_FILLABLE")
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    (tried,) = unmatched.match_all(actor=trader, now=LATER)
    assert tried.booked is not None


def test_waiting_fill_that_was_booked_by_another_door_waits_no_longer(trader: User, reviewer: User) -> None:
    order = workflow.approve(staged(trader, client_order_id="early").pk, actor=reviewer, now=NOW)
    kept = unmatched.receive("early", fill("a"), actor=trader, now=LATER)
    workflow.submit(order.pk, actor=trader, now=LATER)
    booked = book(order, "a", by=trader)
    assert [tried.booked for tried in unmatched.match_all(actor=trader, now=LATER)] == [booked]
    kept.refresh_from_db()
    assert (kept.matched_to, kept.matched_by) == (booked, "trader")
    assert list(unmatched.match_all(actor=trader, now=LATER)) == []
    order.refresh_from_db()
    assert (order.filled_quantity, order.event_count) == (D(1), 4)


def test_waiting_fill_whose_id_another_order_has_waits_on(trader: User, reviewer: User) -> None:
    unmatched.receive("late", fill("a"), actor=trader, now=LATER)
    book(sent(trader, reviewer), "a", by=trader)
    sent(trader, reviewer, client_order_id="late")
    (tried,) = unmatched.match_all(actor=trader, now=LATER)
    assert (tried.booked, tried.reason) == (None, "execution_id='a' was booked before; nothing was changed.")


def test_report_of_a_fill_is_kept_exactly_as_it_came(trader: User) -> None:
    report = fill("a", "1.25", "-0.000001", fees=D("0.10"), venue="CBOE", broker_order_id="b", leg=2)
    kept = unmatched.receive("none", report, actor=trader, now=LATER)
    assert isinstance(kept, UnmatchedFill)
    kept.refresh_from_db()
    assert unmatched.fill_of(kept) == report


def test_same_report_twice_is_refused_wherever_the_first_one_went(trader: User, reviewer: User) -> None:
    unmatched.receive("none", fill("a"), actor=trader, now=LATER)
    assert code(lambda: unmatched.receive("none", fill("a"), actor=trader, now=LATER)) == "DUPLICATE_EXECUTION"
    order = sent(trader, reviewer, client_order_id="here")
    booked = unmatched.receive("here", fill("b"), actor=trader, now=LATER)
    assert isinstance(booked, ExecutedOrder)
    for name in ("here", "none"):
        assert code(lambda name=name: unmatched.receive(name, fill("b"), actor=trader, now=LATER)) == (
            "DUPLICATE_EXECUTION"
        )
    order.refresh_from_db()
    assert order.filled_quantity == D(1)


def test_person_matches_a_fill_by_hand_once(trader: User, reviewer: User) -> None:
    kept = unmatched.receive("mistyped", fill("a"), actor=trader, now=LATER)
    order = sent(trader, reviewer)
    assert code(lambda: unmatched.match(kept.pk, order.pk, actor=reviewer, now=LATER)) == "NOT_PERMITTED"
    unmatched.match(kept.pk, order.pk, actor=trader, now=LATER)
    assert code(lambda: unmatched.match(kept.pk, order.pk, actor=trader, now=LATER)) == "MATCHED_BEFORE"


def test_fills_out_of_order_add_up_the_same(trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer, quantity=D(3))
    book(order, "late", "1", "402", by=trader, executed_at=LATER)
    book(order, "early", "2", "399", by=trader, executed_at=NOW)
    order.refresh_from_db()
    assert (order.status, order.average_fill_price) == ("executed", D(400))


def test_fill_beyond_every_figure_is_kept_not_lost(trader: User, reviewer: User) -> None:
    sent(trader, reviewer, client_order_id="big")
    kept = unmatched.receive("big", fill("a", "9999999999", "9999999999"), actor=trader, now=LATER)
    assert isinstance(kept, UnmatchedFill)
    assert kept.reason.startswith("FILL_TOO_LARGE")


def test_command_books_what_it_can_and_says_what_waits(trader: User, reviewer: User) -> None:
    sent(trader, reviewer, client_order_id="known", quantity=D(2))
    unmatched.receive("unknown", fill("u"), actor=trader, now=LATER)
    out = StringIO()
    with pytest.raises(CommandError, match=r"^1 fills wait on"):
        call_command("match_fills", "--by", "trader", stdout=out)
    assert out.getvalue() == "u: waits: There is no order 'unknown' in dev.\n"
    with pytest.raises(CommandError, match="no active user"):
        call_command("match_fills", "--by", "nobody")


# ---- positions -------------------------------------------------------------------------------------------------------


def test_position_shrinks_at_its_average_cost_and_turns_over_at_the_new_price(trader: User, reviewer: User) -> None:
    book(sent(trader, reviewer), "a", "1", "400", by=trader)
    book(sent(trader, reviewer), "b", "1", "410", by=trader)
    assert held() == {"SPY": (D(2), D(810))}
    sale = sent(trader, reviewer, side=Side.SELL, quantity=D(1))
    book(sale, "c", "1", "450", by=trader)
    assert held() == {"SPY": (D(1), D(405))}
    book(sale, "d", "3", "420", by=trader)
    assert held() == {"SPY": (D(-2), D(-840))}


def test_combination_books_each_leg_and_its_net_price_once(trader: User, reviewer: User) -> None:
    order = workflow.stage(iron_condor(strategy="own"), created_by=trader, now=NOW)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    workflow.submit(order.pk, actor=trader, now=NOW)
    book(order, "a", "1", "-1.20", by=trader)
    found = held()
    assert {key: quantity for key, (quantity, _) in found.items()} == {
        "SPY251205C00460000": D(-1),
        "SPY251205C00465000": D(1),
        "SPY251205P00435000": D(1),
        "SPY251205P00440000": D(-1),
    }
    assert sum(cost for _, cost in found.values()) == D(-120)
    assert set(Position.objects.values_list("strategy", "underlying")) == {("own", "SPY")}


moves_made = st.lists(
    st.tuples(st.integers(-5, 5).filter(bool), st.integers(1, 500)).map(lambda pair: (D(pair[0]), D(pair[1]))),
    max_size=6,
)


@given(moves_made)
def test_quantity_adds_up_and_a_flat_position_cost_nothing(made: list[tuple[Decimal, Decimal]]) -> None:
    quantity = cost = D(0)
    for moved, price in made:
        move = holdings.Move(terms=terms_of_symbol("SPY"), quantity=moved, cost=moved * price)
        quantity, cost = holdings.after(quantity, cost, move)
        assert (quantity == 0) <= (cost == 0)
        # What is held was paid for with money of its own sign.
        assert cost * quantity >= 0
    assert quantity == sum((moved for moved, _ in made), D(0))


@settings(max_examples=8, deadline=None)
@given(made=moves_made)
def test_positions_kept_by_fills_are_those_built_anew(made: list[tuple[Decimal, Decimal]]) -> None:
    with transaction.atomic():
        equity("100000000", at=NOW - timedelta(minutes=2))
        trader, reviewer = person("p-trader", "trader"), person("p-reviewer", "reviewer")
        for number, (quantity, price) in enumerate(made):
            side = Side.BUY if quantity > 0 else Side.SELL
            order = StagedOrder.objects.get(
                pk=staged(trader, side=side, quantity=abs(quantity), price=D(number + 1), strategy="p").pk
            )
            if order.status != OrderStatus.PENDING_REVIEW:
                continue
            workflow.approve(order.pk, actor=reviewer, now=NOW)
            workflow.submit(order.pk, actor=trader, now=NOW)
            report = fill(f"p-{number}", f"{abs(quantity)}", f"{price}", executed_at=NOW)
            # Built anew in the order in which they were booked.
            fills.record_execution(order.pk, report, actor=trader, now=LATER + timedelta(seconds=number))
        assert list(positions.differences()) == []
        before = held()
        positions.rebuild("dev", "p", None, now=LATER)
        after = held()
        assert before.keys() == after.keys()
        for key, (quantity, cost) in before.items():
            assert after[key][0] == quantity
            assert abs(after[key][1] - cost) < D("0.01")
        transaction.set_rollback(True)


STATEMENT = """symbol,quantity,taken_at,strategy,average_price,right,strike,expiry
SPY,100,2025-11-03T14:00:00+00:00,momentum,395.5,,,
SPY,-1,2025-11-03T14:00:00+00:00,momentum,1.10,C,460,2025-12-05
"""


def statement(folder: Path, text: str) -> str:
    path = folder / "statement.csv"
    path.write_text(text)
    out = StringIO()
    call_command("positions", "import", str(path), "--by", "trader", stdout=out)
    return out.getvalue()


def test_statement_is_taken_over_and_fills_since_are_added(tmp_path: Path, trader: User, reviewer: User) -> None:
    order = sent(trader, reviewer, quantity=D(3))
    book(order, "before", by=trader, executed_at=NOW - timedelta(seconds=30))
    assert statement(tmp_path, STATEMENT) == "2 positions were taken over.\n"
    # The fill of 14:59:30 came after the statement of 14:00.
    assert held() == {"SPY": (D(101), D("39950.5")), "SPY251205C00460000": (D(-1), D(-110))}
    book(order, "since", by=trader)
    assert held()["SPY"][0] == D(102)
    out = StringIO()
    call_command("positions", "check", stdout=out)
    assert out.getvalue() == "Every position is what statements and fills add up to.\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("symbol,quantity,taken_at\n", "the statement has no rows"),
        ("symbol,quantity\nSPY,1\n", "row 1: taken_at is missing"),
        ("symbol,quantity,taken_at\nSPY,x,2025-11-03T14:00:00Z\n", "row 1: quantity='x': a number is needed"),
        ("symbol,quantity,taken_at\nSPY,1,2025-11-03T14:00:00\n", "needs a time zone"),
        ("symbol,quantity,taken_at\nSPY,1\n", "row 1: has not as many fields as the header"),
        ("symbol,quantity,taken_at,x\nSPY,1,2025-11-03T14:00:00Z,1\n", "row 1: unknown columns x"),
        ("symbol,quantity,taken_at\n" + "SPY,1,2025-11-03T14:00:00Z\n" * 2, "row 2: SPY is stated twice"),
        ("symbol,quantity,taken_at,right\nSPY,1,2025-11-03T14:00:00Z,C\n", "strike=''"),
        ("symbol,quantity,taken_at\nSPY,1,2999-11-03T14:00:00Z\n", "lies in the future"),
    ],
)
def test_statement_that_breaks_a_rule_is_not_taken_over(tmp_path: Path, trader: User, text: str, message: str) -> None:
    with pytest.raises(CommandError, match="nothing was taken over") as error:
        statement(tmp_path, text)
    assert message in str(error.value)
    assert not Position.objects.exists()


def test_statement_taken_over_twice_is_refused(tmp_path: Path, trader: User) -> None:
    statement(tmp_path, STATEMENT)
    with pytest.raises(CommandError, match="taken over before"):
        statement(tmp_path, STATEMENT)


def test_position_that_somebody_changed_by_hand_is_found_and_written_anew(trader: User, reviewer: User) -> None:
    book(sent(trader, reviewer), "a", by=trader)
    Position.objects.update(quantity=D(7))
    out = StringIO()
    with pytest.raises(CommandError, match=r"^1 positions differ"):
        call_command("positions", "check", stdout=out)
    assert "SPY: 7.00000000 on record, 1" in out.getvalue()
    call_command("positions", "rebuild", stdout=StringIO())
    assert held() == {"SPY": (D(1), D("400.5"))}
