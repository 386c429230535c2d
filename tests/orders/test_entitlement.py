"""Where the desk demands a second factor, whoever has none decides nothing: by no page, no command and no call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from emo_site.login import accounts, totp
from orders import policy_versions, trading_state, workflow
from orders.choices import OrderStatus, TradingState
from orders.models import RefusedDecision, StagedOrder
from orders.refusal import Refused
from tests.factories import NOW, equity, person, staged

pytestmark = pytest.mark.django_db
SECRET = b"12345678901234567890"


@pytest.fixture(autouse=True)
def _required(settings: Any) -> None:
    settings.EMO_SECOND_FACTOR = "required"


@pytest.fixture
def order() -> StagedOrder:
    equity()
    return staged(person("tom", "trader"))


@pytest.fixture
def rita() -> User:
    return person("rita", "reviewer", "risk officer")


def with_second_factor(user: User) -> User:
    before = timezone.now() - timedelta(minutes=5)
    accounts.enrol(user, SECRET, totp.code_at(SECRET, totp.step_at(before)), now=before)
    return User.objects.get(pk=user.pk)


def approve(order: StagedOrder, actor: User) -> object:
    return workflow.approve(order.pk, actor=actor, now=NOW)


def reject(order: StagedOrder, actor: User) -> object:
    return workflow.reject(order.pk, actor=actor, now=NOW, reason="no")


def override(order: StagedOrder, actor: User) -> object:
    until = NOW + timedelta(hours=1)
    return workflow.override(order.pk, code="ORDER_QUANTITY", actor=actor, now=NOW, reason="because", expires_at=until)


def halt(order: StagedOrder, actor: User) -> object:
    return trading_state.change(TradingState.HALTED, actor=actor, now=NOW, reason="volatility")


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(Refused) as error:
        action()
    return error.value.code


@pytest.mark.parametrize("decide", [approve, reject, override, halt])
def test_without_a_second_factor_it_is_refused_and_with_one_it_is_not(
    order: StagedOrder, rita: User, decide: Callable[[StagedOrder, User], object]
) -> None:
    assert code_of(lambda: decide(order, rita)) == "SECOND_FACTOR_REQUIRED"
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING_REVIEW
    enrolled = with_second_factor(rita)
    if decide is override:
        # Only now its own rules have a say: nothing blocks this order.
        assert code_of(lambda: decide(order, enrolled)) == "NOT_BLOCKING"
    else:
        decide(order, enrolled)


def test_release_takes_one_too(rita: User) -> None:
    olga = with_second_factor(person("olga", "risk officer"))
    trading_state.change(TradingState.HALTED, actor=olga, now=NOW, reason="volatility")
    again = lambda: trading_state.change(TradingState.ACTIVE, actor=rita, now=NOW, reason="calm")  # noqa: E731
    assert code_of(again) == "SECOND_FACTOR_REQUIRED"
    assert trading_state.current().state == TradingState.HALTED


def test_approving_a_policy_takes_one_too(rita: User) -> None:
    version = policy_versions.in_force(NOW)
    refused = code_of(lambda: policy_versions.check_approval(version, actor=rita, newest=version.number))
    assert refused == "SECOND_FACTOR_REQUIRED"


def test_the_reason_is_clear_and_the_refusal_on_record(order: StagedOrder, rita: User) -> None:
    with pytest.raises(Refused) as error:
        approve(order, rita)
    told = "rita may approve orders only with a second factor: set one up, then every login asks for it."
    assert str(error.value) == told
    refused = RefusedDecision.objects.get()
    assert (refused.actor, refused.code) == (rita, "SECOND_FACTOR_REQUIRED")


def test_a_post_past_the_page_is_refused_too(order: StagedOrder, rita: User) -> None:
    client = Client()
    client.force_login(rita)
    page = f"/admin/orders/stagedorder/{order.pk}/change/"
    shown = client.get(page).content.decode()
    assert "rita may approve orders only with a second factor" in shown
    client.post(f"/admin/orders/stagedorder/{order.pk}/decide/approve/", {"seen_events": order.event_count})
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING_REVIEW


def test_several_at_once_are_refused_one_by_one(order: StagedOrder, rita: User) -> None:
    outcomes = workflow.approve_each([order.pk], actor=rita, now=NOW)
    assert [outcome.refused.code for outcome in outcomes if outcome.refused] == ["SECOND_FACTOR_REQUIRED"]


def test_what_is_no_decision_needs_none(order: StagedOrder) -> None:
    tom = User.objects.get(username="tom")
    assert workflow.cancel(order.pk, actor=tom, now=NOW, reason="withdrawn").status == OrderStatus.CANCELLED


def test_a_desk_that_does_not_demand_it_asks_nothing(order: StagedOrder, rita: User, settings: Any) -> None:
    settings.EMO_SECOND_FACTOR = "optional"
    assert approve(order, rita).status == OrderStatus.APPROVED  # type: ignore[attr-defined]


def test_the_first_administrator_can_set_one_up(settings: Any) -> None:
    call_command("create_admin")
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    assert client.get("/admin/second-factor/").status_code == 200
