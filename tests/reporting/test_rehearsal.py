"""An order goes from staging to its fill and leaves no trace; what stands in its way is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import OperationalError

from orders import audit_keys, trading_state
from orders.choices import TradingState
from orders.models import StagedOrder
from reporting import rehearsal
from reporting.rehearsal import Failed, rehearse
from tests.factories import equity, person, staged
from tests.run import PROJECT


def rows() -> dict[str, int]:
    """Of every table of the desk."""
    return {
        model._meta.label: model._base_manager.count()
        for model in apps.get_models(include_auto_created=True)
        # The first policy is read from its file when it is first asked for.
        if model._meta.label != "orders.PolicyVersion"
    }


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.django_db
def test_an_empty_desk_takes_an_order_to_its_fill_and_is_empty_afterwards() -> None:
    before = rows()
    found = rehearse(now=now(), seconds=10)
    assert found.steps == ("staged", "approved by a second person", "submitted", "filled")
    assert found.trail is not None
    assert (found.trail.is_sound, found.trail.events) == (True, 4)
    assert found.blocked_by == ()
    assert rows() == before


@pytest.mark.django_db
def test_the_default_policy_lets_it_through(settings: Any) -> None:
    settings.EMO_POLICY_FILE = PROJECT / "orders" / "default_policy.yaml"
    assert rehearse(now=now(), seconds=10).blocked_by == ()


@pytest.mark.django_db
def test_a_desk_at_work_keeps_what_it_has() -> None:
    equity("1000")
    staged(person("trader", "trader"))
    before, orders = rows(), list(StagedOrder.objects.values())
    assert rehearse(now=now(), seconds=10).trail is not None
    assert rows() == before
    assert list(StagedOrder.objects.values()) == orders


@pytest.mark.django_db
def test_a_policy_that_permits_only_some_symbols_is_kept_to(settings: Any, tmp_path: Any) -> None:
    policy = (PROJECT / "orders" / "default_policy.yaml").read_text()
    path = tmp_path / "policy.yaml"
    path.write_text(policy.replace("permitted_symbols: []  ", "permitted_symbols: [SPY, QQQ]  "))
    assert "[SPY, QQQ]" in path.read_text()
    settings.EMO_POLICY_FILE = path
    assert rehearse(now=now(), seconds=10).trail is not None


@pytest.mark.django_db
def test_halted_trading_blocks_it_by_name_and_nothing_stays() -> None:
    trading_state.change(TradingState.HALTED, actor=person("trader", "trader"), now=now(), reason="the feed is wrong")
    before = rows()
    found = rehearse(now=now(), seconds=10)
    assert found.blocked_by == ("KILL_SWITCH",)
    assert (found.steps, found.trail) == (("staged",), None)
    assert rows() == before


@pytest.mark.django_db
def test_a_desk_where_traders_approve_their_own_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal.workflow, "approve", lambda *args, **kwargs: None)
    before = rows()
    with pytest.raises(Failed, match="approved an order of their own"):
        rehearse(now=now(), seconds=10)
    assert rows() == before


@pytest.mark.django_db
def test_a_fill_that_does_not_end_the_order_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal.workflow, "record_execution", lambda *args, **kwargs: None)
    with pytest.raises(Failed, match="the order is submitted after its fill, and not executed"):
        rehearse(now=now(), seconds=10)


@pytest.mark.django_db
def test_a_trail_that_does_not_verify_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_keys, "every", lambda: (b"another key",))
    found = rehearse(now=now(), seconds=10)
    assert found.trail is not None
    assert not found.trail.is_sound


@pytest.mark.django_db
def test_an_error_in_the_middle_leaves_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(rehearsal.workflow, "submit", lost)
    before = rows()
    with pytest.raises(OperationalError):
        rehearse(now=now(), seconds=10)
    assert rows() == before
    assert not User.objects.filter(username__startswith=rehearsal.NAME).exists()
