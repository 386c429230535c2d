"""One rule of one order, set aside by a second person for a while."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from orders import trading_state, workflow
from orders.choices import EventKind, OrderStatus, TradingState
from orders.models import RuleOverride, StagedOrder
from orders.refusal import Refused
from tests.factories import NOW, assessment_of, equity, person, staged

S = OrderStatus
LATER = NOW + timedelta(minutes=1)
END = NOW + timedelta(hours=1)
POLICY = """
policy_version: "overrides"
risk:
  max_order_quantity: 5
  restricted_symbols: [QQQ]
"""


@pytest.fixture(autouse=True)
def _policy(tmp_path: Path, settings: Any) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(POLICY, encoding="utf-8")


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def officer(db: None) -> User:
    return person("officer", "risk officer")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


def large(trader: User, **changes: Any) -> StagedOrder:
    order = staged(trader, quantity=Decimal(6), **changes)
    assert order.status == S.BLOCKED
    return order


def override(order: StagedOrder, actor: User, code: str = "ORDER_QUANTITY", **changes: Any) -> StagedOrder:
    values = {"actor": actor, "now": LATER, "reason": "agreed with the client", "expires_at": END}
    return workflow.override(order.pk, code=code, **{**values, **changes})


def refusal(action: Callable[[], object]) -> tuple[str, str]:
    before = list(StagedOrder.objects.values()), list(RuleOverride.objects.values())
    with pytest.raises(Refused) as error:
        action()
    assert (list(StagedOrder.objects.values()), list(RuleOverride.objects.values())) == before
    return error.value.code, str(error.value)


def test_order_that_only_the_overridden_rule_blocks_goes_to_review(trader: User, officer: User, reviewer: User) -> None:
    order = override(large(trader), officer)
    assert order.status == S.PENDING_REVIEW
    last = order.events.last()
    assert (last.kind, last.actor_name, last.from_status, last.to_status) == (
        EventKind.OVERRIDDEN,
        "officer",
        S.BLOCKED,
        S.PENDING_REVIEW,
    )
    assert last.reason == "ORDER_QUANTITY until 2025-11-03 16:00 UTC: agreed with the client"
    assert last.seen["seen"]["overrides"][0]["given_by"] == "officer"
    given = order.overrides.get()
    assert (given.code, given.given_by, given.staged_by, given.expires_at) == ("ORDER_QUANTITY", officer, trader, END)
    workflow.approve(order.pk, actor=reviewer, now=LATER)
    assert workflow.submit(order.pk, actor=trader, now=LATER).status == S.SUBMITTED


def test_rule_that_was_set_aside_is_still_shown(trader: User, officer: User) -> None:
    order = override(large(trader), officer)
    said = assessment_of(order)["risk"]["contributions"]
    quantity = next(item for item in said if item["code"] == "ORDER_QUANTITY")
    assert quantity["severity"] == "warn"
    assert quantity["overridden"] == "by officer until 2025-11-03 16:00 UTC: agreed with the client"
    assert order.violations == "ORDER_QUANTITY:warn"


def test_only_one_rule_is_set_aside(trader: User, officer: User) -> None:
    order = large(trader, symbol="QQQ")
    assert order.violation_codes == [("ORDER_QUANTITY", "block"), ("RESTRICTED_SYMBOL", "block")]
    order = override(order, officer)
    assert order.status == S.BLOCKED
    assert order.violation_codes[0] == ("RESTRICTED_SYMBOL", "block")
    assert override(order, officer, "RESTRICTED_SYMBOL").status == S.PENDING_REVIEW
    assert RuleOverride.objects.count() == 2


def test_override_is_of_one_order(trader: User, officer: User) -> None:
    override(large(trader), officer)
    assert staged(trader, quantity=Decimal(6)).status == S.BLOCKED


@pytest.mark.parametrize("group", ["trader", "reviewer", "operator", "auditor"])
def test_wrong_person_sets_nothing_aside(trader: User, group: str) -> None:
    order, other = large(trader), person("other", group)
    assert refusal(lambda: override(order, other)) == (
        "NOT_PERMITTED",
        "other may not override rules: the permission orders.override_stagedorder is missing.",
    )


def test_nobody_sets_a_rule_of_their_own_order_aside(trader: User) -> None:
    both = person("both", "trader", "risk officer")
    order = large(both)
    assert refusal(lambda: override(order, both)) == (
        "SELF_APPROVAL",
        "both staged this order: somebody else must decide.",
    )


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"given_by": "trader"}, "rule_overrides_four_eyes"),
        ({"reason": ""}, "rule_overrides_with_reason"),
        ({"expires_at": NOW}, "rule_overrides_end"),
    ],
)
def test_database_itself_wants_a_second_person_a_reason_and_an_end(
    trader: User, officer: User, changes: dict[str, Any], constraint: str
) -> None:
    people = {"trader": trader, "officer": officer}
    values = {"given_by": "officer", "reason": "agreed", "expires_at": END, **changes}
    row = RuleOverride(
        order=large(trader), code="ORDER_QUANTITY", staged_by=trader, given_at=NOW, **values | {"given_by": officer}
    )
    row.given_by = people[values["given_by"]]
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reason": " "}, ("REASON_REQUIRED", "An override needs its reason.")),
        (
            {"expires_at": LATER},
            (
                "ENDS_BEFORE_IT_BEGINS",
                "expires_at=2025-11-03T15:01:00+00:00 is not after 2025-11-03T15:01:00+00:00.",
            ),
        ),
        (
            {"expires_at": LATER + timedelta(hours=24, microseconds=1)},
            (
                "HOLDS_TOO_LONG",
                "expires_at=2025-11-04T15:01:00.000001+00:00: an override holds for 24 hours at most.",
            ),
        ),
        (
            {"code": "MAX_DRAWDOWN"},
            ("NOT_BLOCKING", "MAX_DRAWDOWN does not block this order: there is nothing to override."),
        ),
        (
            {"code": "RESTRICTED_SYMBOL"},
            ("NOT_BLOCKING", "RESTRICTED_SYMBOL does not block this order: there is nothing to override."),
        ),
    ],
)
def test_override_that_says_nothing_is_refused(
    trader: User, officer: User, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    order = large(trader)
    assert refusal(lambda: override(order, officer, **changes)) == expected


def test_nobody_overrides_the_kill_switch(trader: User, officer: User) -> None:
    trading_state.change(TradingState.HALTED, actor=trader, now=NOW, reason="runaway")
    order = large(trader)
    assert refusal(lambda: override(order, officer, "KILL_SWITCH")) == (
        "NOT_OVERRIDABLE",
        "Nobody may override KILL_SWITCH.",
    )
    # Another rule may be set aside meanwhile; the order stays where it is.
    assert override(order, officer).status == S.BLOCKED


def test_nobody_overrides_four_eyes(trader: User, officer: User) -> None:
    order = large(trader)
    # It is judged when somebody reviews: of an order that waits it blocks nothing.
    assert refusal(lambda: override(order, officer, "SELF_APPROVAL"))[0] == "NOT_BLOCKING"


@pytest.mark.parametrize("end", [S.CANCELLED, S.APPROVED])
def test_order_that_waits_for_no_review_takes_no_override(
    trader: User, officer: User, reviewer: User, end: OrderStatus
) -> None:
    order = staged(trader)
    if end == S.CANCELLED:
        workflow.cancel(order.pk, actor=trader, now=NOW)
    else:
        workflow.approve(order.pk, actor=reviewer, now=NOW)
    assert refusal(lambda: override(order, officer)) == (
        "ILLEGAL_TRANSITION",
        f"This {end.label} order waits for no review.",
    )


def test_override_that_has_ended_holds_nothing(trader: User, officer: User, reviewer: User) -> None:
    order = override(large(trader), officer)
    second_before, at_the_end = END - timedelta(seconds=1), END
    code, message = refusal(lambda: workflow.approve(order.pk, actor=reviewer, now=at_the_end))
    assert code == "RULES_BLOCK"
    assert "ORDER_QUANTITY" in message
    workflow.approve(order.pk, actor=reviewer, now=second_before)
    # Approved in time, and sent too late.
    with pytest.raises(Refused, match="ORDER_QUANTITY"):
        workflow.submit(order.pk, actor=trader, now=at_the_end)
    order.refresh_from_db()
    assert (order.status, order.events.last().kind) == (S.PENDING_REVIEW, EventKind.RETURNED)


def test_order_that_comes_back_blocked_needs_a_new_override(trader: User, officer: User) -> None:
    order = override(large(trader), officer)
    assert workflow.rejudge(order.pk, actor=trader, now=END).status == S.BLOCKED
    again = override(order, officer, now=END, expires_at=END + timedelta(minutes=1))
    assert again.status == S.PENDING_REVIEW
    assert RuleOverride.objects.filter(order=order).count() == 2


def test_override_of_an_order_that_somebody_changes_meanwhile_is_not_written(
    trader: User, officer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = large(trader)
    judge = workflow.judge

    def judge_slowly(*args: Any, **kwargs: Any) -> Any:
        found = StagedOrder.objects.get(pk=order.pk)
        if found.status == S.BLOCKED:
            workflow.cancel(order.pk, actor=trader, now=NOW)
        return judge(*args, **kwargs)

    monkeypatch.setattr(workflow, "judge", judge_slowly)
    with pytest.raises(Refused, match="Somebody else was faster"):
        override(order, officer)
    assert not RuleOverride.objects.exists()
