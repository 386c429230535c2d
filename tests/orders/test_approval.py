"""When an approval holds, and when the policy gives one; requests for changes, and orders that replace others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from monitoring import events
from monitoring.choices import EventType
from monitoring.models import MarketEvent
from orders import trading_state, workflow
from orders.choices import EventKind, OrderStatus, TradingState
from orders.models import OrderEvent, OrderLeg, StagedOrder, StagedRisk
from orders.refusal import Refused
from tests.factories import NOW, equity, person, staged, ticket

D = Decimal
K, S = EventKind, OrderStatus
LATER = NOW + timedelta(minutes=1)
AUTOMATIC = """
policy_version: "automatic"
risk:
  max_order_quantity: 10
strategies:
  momentum: { auto_eligible: true }
  careful: { auto_eligible: true, auto_max_risk_score: 0 }
  carried: { auto_eligible: true, auto_max_risk_score: 100 }
  manual: { auto_eligible: false }
auto_approval:
  environments: [dev]
  max_risk_score: 3
"""
AGEING = """
policy_version: "ageing"
risk:
  max_quote_age_seconds: 60
approval:
  ttl_seconds: 600
  max_price_drift: 0.01
"""


@pytest.fixture
def policy(tmp_path: Path, settings: Any) -> Callable[[str], None]:
    def write(document: str) -> None:
        settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
        settings.EMO_POLICY_FILE.write_text(document, encoding="utf-8")

    return write


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def trade(price: str, *, symbol: str = "SPY", at: Any = NOW) -> None:
    events.record(
        [events.Event(symbol=symbol, event_type=EventType.TRADE, timestamp=at, price=D(price), source="test")]
    )


def refusal(action: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Refused) as error:
        action()
    return error.value.code, str(error.value)


# ---- by the policy ---------------------------------------------------------------------------------------------------


@pytest.fixture
def automatic(policy: Callable[[str], None]) -> None:
    policy(AUTOMATIC)


@pytest.mark.usefixtures("automatic")
def test_policy_approves_what_nothing_speaks_against(trader: User) -> None:
    order = staged(trader)
    assert (order.status, order.approved_by_policy, order.reviewed_by) == (S.APPROVED, True, None)
    assert order.reviewed_at == NOW
    first, last = order.events.order_by("sequence")
    assert (first.kind, first.to_status, first.actor_name) == (K.STAGED, S.PENDING_REVIEW, "trader")
    assert (last.kind, last.actor, last.actor_name) == (K.AUTO_APPROVED, None, "policy")
    assert last.reason == (
        f"policy automatic approves momentum in dev: no rule objects, risk score {order.risk_score} of at most 3"
    )
    assert StagedOrder.objects.get(pk=order.pk).status == S.APPROVED
    assert workflow.submit(order.pk, actor=trader, now=LATER).status == S.SUBMITTED


@pytest.mark.usefixtures("automatic")
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"strategy": "unknown"}, S.PENDING_REVIEW),
        ({"strategy": "manual"}, S.PENDING_REVIEW),
        ({"quantity": D(11)}, S.BLOCKED),
        ({"strategy": ""}, S.BLOCKED),
    ],
)
def test_policy_leaves_all_else_to_people(trader: User, changes: dict[str, Any], status: OrderStatus) -> None:
    order = staged(trader, **changes)
    assert (order.status, order.approved_by_policy, order.event_count) == (status, False, 1)


@pytest.mark.usefixtures("automatic")
def test_score_of_its_own_strategy_goes_before_the_one_for_all(trader: User) -> None:
    scores = {}
    for strategy in ("momentum", "careful", "carried"):
        order = staged(trader, strategy=strategy, quantity=D(7))
        scores[strategy] = (order.status, order.violations)
        assert D(3) < order.risk_score < D(100)
    assert scores == {
        "momentum": (S.PENDING_REVIEW, ""),
        "careful": (S.PENDING_REVIEW, ""),
        "carried": (S.APPROVED, ""),
    }


@pytest.mark.usefixtures("automatic")
def test_policy_approves_in_the_environments_that_it_names_only(trader: User, settings: Any) -> None:
    settings.EMO_ENV = "staging"
    assert staged(trader).status == S.PENDING_REVIEW


def test_policy_approves_nothing_that_draws_a_warning(trader: User, policy: Callable[[str], None]) -> None:
    policy(AUTOMATIC.replace("max_order_quantity: 10", "allow_undefined_risk: true"))
    order = staged(trader, side="sell", strategy="carried")
    assert (order.status, order.violations) == (S.PENDING_REVIEW, "UNDEFINED_RISK:warn")


@pytest.mark.usefixtures("automatic")
def test_policy_approves_nothing_while_trading_is_restricted(trader: User) -> None:
    trading_state.change(TradingState.REDUCING, actor=trader, now=NOW, reason="volatility")
    order = staged(trader)
    assert (order.status, order.approved_by_policy) == (S.BLOCKED, False)


@pytest.mark.usefixtures("automatic")
def test_order_that_somebody_withdrew_meanwhile_is_not_approved_by_the_policy(
    trader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_policy = workflow.approval.by_policy

    def slowly(**kwargs: Any) -> str:
        workflow.cancel(StagedOrder.objects.get().pk, actor=trader, now=NOW)
        return by_policy(**kwargs)

    monkeypatch.setattr(workflow.approval, "by_policy", slowly)
    staged(trader)
    order = StagedOrder.objects.get()
    assert (order.status, order.approved_by_policy, order.event_count) == (S.CANCELLED, False, 2)


def test_default_policy_approves_nothing_by_itself(trader: User, settings: Any) -> None:
    settings.EMO_POLICY_FILE = Path(workflow.__file__).with_name("default_policy.yaml")
    trade("400.50")
    order = staged(trader, strategy="covered_call")
    assert (order.approved_by_policy, order.event_count) == (False, 1)
    assert not OrderEvent.objects.filter(kind=K.AUTO_APPROVED).exists()


@pytest.mark.parametrize(
    "columns",
    [
        # Approved by nobody; by the policy at no time.
        {"status": "approved"},
        {"status": "approved", "approved_by_policy": True},
    ],
)
def test_database_wants_to_know_who_approved(trader: User, columns: dict[str, Any]) -> None:
    order = staged(trader)
    with pytest.raises(IntegrityError, match="staged_orders_approved_by_someone"), transaction.atomic():
        StagedOrder.objects.filter(pk=order.pk).update(**columns)
    StagedOrder.objects.filter(pk=order.pk).update(status="approved", approved_by_policy=True, reviewed_at=NOW)


# ---- how long it holds -----------------------------------------------------------------------------------------------


@pytest.fixture
def approved(policy: Callable[[str], None], trader: User, reviewer: User) -> StagedOrder:
    """On a last price of 400.50 at NOW, for ten minutes."""
    policy(AGEING)
    trade("400.50")
    order = workflow.approve(staged(trader).pk, actor=reviewer, now=NOW)
    assert (order.approval_price, order.approval_expires_at) == (D("400.5"), NOW + timedelta(minutes=10))
    return order


def returned(order: StagedOrder, trader: User, at: Any) -> str:
    """Why it went back to review; everything of the approval is gone from its row."""
    code, message = refusal(lambda: workflow.submit(order.pk, actor=trader, now=at))
    assert code == "RETURNED_TO_REVIEW"
    order.refresh_from_db()
    last = order.events.last()
    assert (last.kind, last.from_status, last.to_status, last.actor_name) == (
        K.RETURNED,
        S.APPROVED,
        S.PENDING_REVIEW,
        "trader",
    )
    assert last.reason == message
    assert (order.status, order.reviewed_by, order.reviewed_at, order.review_notes) == (
        S.PENDING_REVIEW,
        None,
        None,
        "",
    )
    assert (order.review_notes, order.approval_price, order.approval_expires_at) == ("", None, None)
    assert not order.approved_by_policy
    return message


def test_approval_holds_until_it_ends(approved: StagedOrder, trader: User) -> None:
    just_before = NOW + timedelta(minutes=10) - timedelta(microseconds=1)
    trade("400.50", at=just_before)
    assert workflow.submit(approved.pk, actor=trader, now=just_before).status == S.SUBMITTED


def test_approval_ends_by_itself(approved: StagedOrder, trader: User) -> None:
    end = NOW + timedelta(minutes=10)
    trade("400.50", at=end)
    assert returned(approved, trader, end) == (
        "The approval does not hold any more: the approval ended at 2025-11-03 15:10:00 UTC."
    )


@pytest.mark.parametrize("price", ["404.505", "396.495"])
def test_approval_holds_while_the_price_moves_no_further_than_allowed(
    approved: StagedOrder, trader: User, price: str
) -> None:
    trade(price, at=LATER)
    assert workflow.submit(approved.pk, actor=trader, now=LATER).status == S.SUBMITTED


@pytest.mark.parametrize(
    ("price", "drift"), [("404.51", "from 400.500000 to 404.510000: 1.00 %"), ("300", "to 300.000000: 25.09 %")]
)
def test_approval_does_not_hold_where_the_price_moved_further(
    approved: StagedOrder, trader: User, price: str, drift: str
) -> None:
    trade(price, at=LATER)
    message = returned(approved, trader, LATER)
    assert drift in message
    assert message.endswith(", 1.00 % are allowed.")


def test_approval_does_not_hold_without_a_recent_quote(approved: StagedOrder, trader: User) -> None:
    at = NOW + timedelta(seconds=61)
    assert returned(approved, trader, at) == (
        "The approval does not hold any more: the last quote for SPY is 61 s old, 60 s are allowed."
    )


def test_approval_does_not_hold_where_its_quote_is_gone(approved: StagedOrder, trader: User) -> None:
    MarketEvent.objects.filter(symbol="SPY").delete()
    assert returned(approved, trader, LATER) == (
        "The approval does not hold any more: there is no quote for SPY any more."
    )


def test_second_approval_is_on_the_new_price(approved: StagedOrder, trader: User, reviewer: User) -> None:
    trade("410", at=LATER)
    returned(approved, trader, LATER)
    again = workflow.approve(approved.pk, actor=reviewer, now=LATER, note="still right")
    assert (again.approval_price, again.approval_expires_at) == (D(410), LATER + timedelta(minutes=10))
    assert workflow.submit(approved.pk, actor=trader, now=LATER).status == S.SUBMITTED
    assert [event.kind for event in approved.events.order_by("sequence")] == [
        K.STAGED,
        K.APPROVED,
        K.RETURNED,
        K.APPROVED,
        K.SUBMITTED,
    ]


def test_approval_ages_only_where_the_policy_says_so(
    policy: Callable[[str], None], trader: User, reviewer: User
) -> None:
    policy('policy_version: "nothing armed"\n')
    trade("400.50")
    order = workflow.approve(staged(trader).pk, actor=reviewer, now=NOW)
    assert order.approval_expires_at is None
    year = NOW + timedelta(days=365)
    trade("4", at=year)
    assert workflow.submit(order.pk, actor=trader, now=year).status == S.SUBMITTED


def test_approval_by_the_policy_ages_too(policy: Callable[[str], None], trader: User, reviewer: User) -> None:
    policy(AUTOMATIC + "approval: { ttl_seconds: 60 }\n")
    order = staged(trader)
    assert order.approved_by_policy
    assert "the approval ended at" in returned(order, trader, NOW + timedelta(seconds=60))
    # Now a person decides.
    assert workflow.approve(order.pk, actor=reviewer, now=LATER).reviewed_by == reviewer


# ---- changes ---------------------------------------------------------------------------------------------------------


def test_reviewer_asks_for_changes_and_the_trader_answers(trader: User, reviewer: User) -> None:
    order = workflow.ask_changes(staged(trader).pk, actor=reviewer, now=NOW, reason="half of it")
    assert (order.status, order.changes_asked_at) == (S.PENDING_REVIEW, NOW)
    last = order.events.last()
    assert (last.kind, last.actor_name, last.reason, last.to_status) == (
        K.CHANGES_ASKED,
        "reviewer",
        "half of it",
        S.PENDING_REVIEW,
    )
    order = workflow.rejudge(order.pk, actor=trader, now=LATER, reason="it hedges the other half")
    assert (order.status, order.changes_asked_at) == (S.PENDING_REVIEW, None)
    assert order.events.last().reason == "it hedges the other half"
    assert workflow.approve(order.pk, actor=reviewer, now=LATER).status == S.APPROVED


@pytest.mark.parametrize(
    ("who", "reason", "code"),
    [("trader", "why?", "NOT_PERMITTED"), ("both", "why?", "SELF_APPROVAL"), ("reviewer", " ", "REASON_REQUIRED")],
)
def test_wrong_request_for_changes_is_refused(trader: User, reviewer: User, who: str, reason: str, code: str) -> None:
    both = person("both", "trader", "reviewer")
    order = staged(both)
    actor = {"trader": trader, "both": both, "reviewer": reviewer}[who]
    got = refusal(lambda: workflow.ask_changes(order.pk, actor=actor, now=NOW, reason=reason))
    assert got[0] == code
    assert StagedOrder.objects.get().changes_asked_at is None


def test_order_is_judged_again_by_its_trader_and_by_whoever_reviews(trader: User, reviewer: User) -> None:
    order = staged(trader)
    assert refusal(lambda: workflow.rejudge(order.pk, actor=person("other", "trader"), now=LATER))[0] == "NOT_PERMITTED"
    equity("1000", at=NOW + timedelta(seconds=1))
    blocked = workflow.rejudge(order.pk, actor=reviewer, now=LATER)
    assert (blocked.status, blocked.violations) == (S.BLOCKED, "MAX_TRADE_RISK:block")
    assert blocked.events.last().reason.startswith("MAX_TRADE_RISK: ")
    # What the rules blocked once only an override leads back.
    equity("100000", at=NOW + timedelta(seconds=2))
    again = workflow.rejudge(order.pk, actor=trader, now=LATER)
    assert (again.status, again.violations) == (S.BLOCKED, "")


@pytest.mark.parametrize("end", [S.APPROVED, S.CANCELLED])
def test_order_that_waits_for_nobody_is_not_judged_again(trader: User, reviewer: User, end: OrderStatus) -> None:
    order = staged(trader)
    if end == S.APPROVED:
        workflow.approve(order.pk, actor=reviewer, now=NOW)
    else:
        workflow.cancel(order.pk, actor=trader, now=NOW)
    assert refusal(lambda: workflow.rejudge(order.pk, actor=trader, now=LATER)) == (
        "ILLEGAL_TRANSITION",
        f"This {end.label} order waits for no review.",
    )


# ---- replacing -------------------------------------------------------------------------------------------------------


def everything() -> list[list[Any]]:
    return [list(model.objects.order_by("pk").values()) for model in (StagedOrder, OrderLeg, OrderEvent, StagedRisk)]


def test_order_that_replaces_another_withdraws_it(trader: User, reviewer: User) -> None:
    old = staged(trader)
    workflow.ask_changes(old.pk, actor=reviewer, now=NOW, reason="half of it")
    new = workflow.stage(ticket(quantity=D(1)), created_by=trader, now=LATER, replaces=old.pk)
    old.refresh_from_db()
    assert (old.status, old.events.last().reason) == (S.CANCELLED, "replaced by a new order")
    assert (new.status, new.replaces_id, new.event_count) == (S.PENDING_REVIEW, old.pk, 1)
    assert StagedOrder.objects.get(pk=new.pk).replaces == old
    assert sum(StagedRisk.objects.values_list("max_loss", flat=True)) == D("400.5")


def test_replacement_is_written_now(trader: User) -> None:
    old = staged(trader)
    with pytest.raises(ValueError, match=r"created_at=2025-11-03T15:00:00\+00:00: an order that replaces another is"):
        workflow.stage(ticket(), created_by=trader, now=LATER, replaces=old.pk, created_at=NOW)
    old.refresh_from_db()
    assert old.status == S.PENDING_REVIEW


@pytest.mark.parametrize("status", [S.REJECTED, S.EXECUTED, S.CANCELLED])
def test_order_that_is_over_is_not_replaced(trader: User, reviewer: User, status: OrderStatus) -> None:
    old = staged(trader)
    if status == S.REJECTED:
        workflow.reject(old.pk, actor=reviewer, now=NOW, reason="no")
    elif status == S.CANCELLED:
        workflow.cancel(old.pk, actor=trader, now=NOW)
    else:
        workflow.approve(old.pk, actor=reviewer, now=NOW)
        workflow.submit(old.pk, actor=trader, now=NOW)
        StagedOrder.objects.filter(pk=old.pk).update(status=status)
    before = everything()
    got = refusal(lambda: workflow.stage(ticket(), created_by=trader, now=LATER, replaces=old.pk))
    assert got == ("ILLEGAL_TRANSITION", f"This {status.label} order can't become cancelled.")
    assert everything() == before


def test_whoever_may_not_withdraw_an_order_does_not_replace_it(trader: User) -> None:
    old, clerk = staged(trader), person("clerk")
    before = everything()
    got = refusal(lambda: workflow.stage(ticket(), created_by=clerk, now=LATER, replaces=old.pk))
    assert got[0] == "NOT_PERMITTED"
    assert everything() == before


def test_replacement_that_can_not_be_written_leaves_the_old_order(trader: User) -> None:
    old = staged(trader, client_order_id="taken")
    before = everything()
    again = ticket(client_order_id="taken")
    got = refusal(lambda: workflow.stage(again, created_by=trader, now=LATER, replaces=old.pk))
    assert got[0] == "DUPLICATE_CLIENT_ORDER_ID"
    assert everything() == before
