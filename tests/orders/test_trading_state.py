"""The trading state and the kill switch: who may, what it stops, who releases it."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from orders import kill_switch, trading_state, workflow
from orders.choices import OrderStatus, TradingState
from orders.models import StagedOrder, TradingStateChange
from orders.refusal import Refused
from tests.factories import NOW, equity, person, staged

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(minutes=1)
HALTED, REDUCING, ACTIVE = TradingState.HALTED, TradingState.REDUCING, TradingState.ACTIVE


@pytest.fixture
def trader() -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def officer() -> User:
    return person("officer", "risk officer")


@pytest.fixture
def reviewer() -> User:
    return person("reviewer", "reviewer")


def code(action: object) -> str:
    with pytest.raises(Refused) as error:
        action()  # type: ignore[operator]
    return error.value.code


def change(to: TradingState, actor: User) -> TradingStateChange:
    return trading_state.change(to, actor=actor, now=NOW, reason="volatility")


def test_desk_trades_until_somebody_says_otherwise() -> None:
    assert trading_state.current().state == ACTIVE


def test_whoever_restricted_trading_does_not_release_it(officer: User, trader: User) -> None:
    change(HALTED, officer)
    assert code(lambda: change(ACTIVE, officer)) == "SELF_RELEASE"
    assert code(lambda: change(REDUCING, officer)) == "SELF_RELEASE"
    assert code(lambda: change(ACTIVE, trader)) == "NOT_PERMITTED"
    change(REDUCING, other := person("other", "risk officer"))
    # Half a release does not make the second person the first.
    assert trading_state.current().restricted_by == "officer"
    assert code(lambda: change(ACTIVE, officer)) == "SELF_RELEASE"
    change(ACTIVE, other)
    assert trading_state.current().state == ACTIVE


def test_whoever_restricts_further_is_the_one_who_may_not_release(officer: User, trader: User) -> None:
    change(REDUCING, officer)
    change(HALTED, trader)
    assert trading_state.current().restricted_by == "trader"
    change(ACTIVE, officer)


def test_database_refuses_a_release_by_the_same_person(officer: User) -> None:
    change(HALTED, officer)
    with pytest.raises(IntegrityError, match="trading_state_changes_released_by_another"), transaction.atomic():
        TradingStateChange.objects.create(
            number=2, at=NOW, state=ACTIVE, before=HALTED, restricted_by=officer, changed_by=officer, reason="over"
        )


@pytest.mark.parametrize("group", ["trader", "reviewer", "operator", "risk officer"])
def test_everybody_at_the_desk_may_halt_and_an_auditor_may_not(group: str) -> None:
    change(HALTED, person("one", group))
    assert code(lambda: change(REDUCING, person("two", "auditor"))) == "NOT_PERMITTED"


def test_auditor_can_not_halt() -> None:
    assert code(lambda: change(HALTED, person("eyes", "auditor"))) == "NOT_PERMITTED"


def test_state_that_is_so_already_and_a_change_without_reason_are_refused(officer: User) -> None:
    assert code(lambda: change(ACTIVE, officer)) == "SAME_STATE"
    assert code(lambda: trading_state.change(HALTED, actor=officer, now=NOW, reason=" ")) == "REASON_REQUIRED"


def test_kill_switch_withdraws_what_is_not_at_the_broker_and_names_what_is(
    trader: User, reviewer: User, officer: User
) -> None:
    waiting, approved, blocked, sent = staged(trader), staged(trader), staged(trader, strategy=""), staged(trader)
    workflow.approve(approved.pk, actor=reviewer, now=NOW)
    workflow.approve(sent.pk, actor=reviewer, now=NOW)
    workflow.submit(sent.pk, actor=trader, now=NOW)
    pulled = kill_switch.pull(actor=officer, now=LATER, reason="runaway")
    assert set(pulled.cancelled) == {each.client_order_id for each in (waiting, approved, blocked)}
    assert pulled.left == (sent.client_order_id,)
    for order in (waiting, approved, blocked):
        order.refresh_from_db()
        last = order.events.last()
        assert (order.status, last.actor_name, last.reason) == ("cancelled", "officer", "kill switch: runaway")
    sent.refresh_from_db()
    assert sent.status == OrderStatus.SUBMITTED


def test_halted_desk_approves_and_submits_nothing_and_blocks_what_is_staged(
    trader: User, reviewer: User, officer: User
) -> None:
    waiting, approved = staged(trader), staged(trader)
    workflow.approve(approved.pk, actor=reviewer, now=NOW)
    change(HALTED, officer)
    assert code(lambda: workflow.approve(waiting.pk, actor=reviewer, now=LATER)) == "RULES_BLOCK"
    assert code(lambda: workflow.submit(approved.pk, actor=trader, now=LATER)) == "RETURNED_TO_REVIEW"
    late = staged(trader)
    assert late.status == OrderStatus.BLOCKED
    assert "KILL_SWITCH:block" in late.violations


def test_approval_that_was_judged_before_the_halt_is_not_written(
    trader: User, reviewer: User, officer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = staged(trader)
    judge = workflow.judge

    def halted_meanwhile(*args: object, **kwargs: object) -> object:
        found = judge(*args, **kwargs)  # type: ignore[arg-type]
        change(HALTED, officer)
        return found

    monkeypatch.setattr(workflow, "judge", halted_meanwhile)
    assert code(lambda: workflow.approve(order.pk, actor=reviewer, now=LATER)) == "TRADING_STATE_CHANGED"
    order.refresh_from_db()
    assert (order.status, order.event_count) == ("pending_review", 1)


def test_pulling_it_again_withdraws_what_was_staged_since(trader: User, officer: User) -> None:
    kill_switch.pull(actor=officer, now=NOW, reason="runaway")
    staged(trader)
    pulled = kill_switch.pull(actor=officer, now=LATER, reason="still")
    assert (pulled.halted, len(pulled.cancelled)) == (None, 1)
    assert code(lambda: kill_switch.pull(actor=person("x", "auditor"), now=LATER, reason="me too")) == "NOT_PERMITTED"


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("trading_state", *arguments, stdout=out)
    return out.getvalue()


def test_command_halts_shows_and_lets_only_another_release(trader: User, officer: User) -> None:
    staged(trader)
    assert run("show") == "Trading is active\n"
    assert "Withdrawn: 1 orders that were not at the broker." in run("halt", "--by", "trader", "--reason", "runaway")
    shown = json.loads(run("show", "--json"))
    assert (shown["state"], shown["reason"]) == ("halted", "runaway")
    with pytest.raises(CommandError, match=r"^NOT_PERMITTED: "):
        run("release", "--by", "trader", "--reason", "over")
    assert run("release", "--by", "officer", "--reason", "over").startswith("Trading is active since ")
    assert not StagedOrder.objects.exclude(status="cancelled").exists()


@pytest.mark.parametrize("arguments", [("halt", "--reason", "x"), ("halt", "--by", "nobody", "--reason", "x")])
def test_command_needs_a_person(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="--by"):
        run(*arguments)
