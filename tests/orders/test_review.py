"""What was decided can be decided again, exactly as it was, whatever has happened since."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from monitoring import events
from monitoring.choices import EventType
from orders import policy_versions, review, risk, workflow
from orders.assessment import Assessment
from orders.choices import OrderType
from orders.models import OrderEvent, PolicyVersion, StagedOrder
from orders.review import NotReviewable, as_of, canonical
from tests.factories import NOW, assessment_of, equity, iron_condor, person, staged

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(minutes=30)
D = Decimal


def price(amount: str, *, at: Any) -> None:
    trade = events.Event(symbol="SPY", event_type=EventType.TRADE, timestamp=at, price=D(amount), source="test")
    events.record([trade])


@pytest.fixture(autouse=True)
def account() -> None:
    equity()
    price("400.00", at=NOW - timedelta(seconds=5))


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("review_as_of", *arguments, stdout=out, stderr=err)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), err.getvalue()


def everything_changes(order: StagedOrder) -> None:
    """The market, the account, the policy, other orders and the order itself."""
    price("90.00", at=LATER)
    equity("1000", at=LATER)
    document = 'policy_version: "tight"\nrisk: {max_order_notional: 1, max_risk_pct_trade: 0.0001}'
    policy_versions.propose(document, actor=person("pat", "risk officer"), now=LATER, reason="x")
    other = person("other", "trader")
    staged(other, now=LATER)
    workflow.reject(order.pk, actor=person("rita", "reviewer"), now=LATER, reason="no")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quantity": D("2.5"), "price": D("400.5000")},
        {"order_type": OrderType.MARKET, "price": None},
        {"quantity": D(4000)},
    ],
)
def test_first_assessment_is_made_again_after_everything_has_changed(changes: dict[str, Any]) -> None:
    order = staged(person("tom", "trader"), **changes)
    recorded = assessment_of(order)
    if order.status == "pending_review":
        everything_changes(order)
    status, out, err = run(str(order.pk), "--at", NOW.isoformat())
    assert (status, err) == (0, "")
    assert out.strip() == canonical(recorded)
    assert json.loads(out)["policy_number"] == 1


def test_combination_is_made_again_with_its_legs() -> None:
    order = workflow.stage(iron_condor(), created_by=person("tom", "trader"), now=NOW)
    assert run(order.client_order_id, "--at", NOW.isoformat())[0] == 0


def test_each_decision_is_made_again_as_of_its_time() -> None:
    order = staged(person("tom", "trader"))
    workflow.approve(order.pk, actor=person("rita", "reviewer"), now=NOW + timedelta(seconds=8))
    first, second = as_of(str(order.pk), at=NOW), as_of(order.client_order_id, at=LATER)
    assert (first.kind, second.kind) == ("staged", "approved")
    assert (first.is_equal, second.is_equal) == (True, True)
    assert second.again["seen"]["reviewer"] == "rita"


def test_event_without_an_assessment_is_passed_over() -> None:
    order = staged(person("tom", "trader"))
    workflow.cancel(order.pk, actor=order.created_by, now=LATER)
    assert as_of(str(order.pk), at=LATER).kind == "staged"


def test_difference_is_told_with_both_values(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    order = staged(person("tom", "trader"))
    settings.EMO_VERSION = "9.9.9"
    of_then = risk.assess

    def of_now(*seen: Any) -> Assessment:
        found = of_then(*seen)
        first, *others = found.contributions
        return replace(found, contributions=(replace(first, citation="another source"), *others))

    monkeypatch.setattr(risk, "assess", of_now)
    status, out, err = run(str(order.pk), "--json")
    assert status == 1
    found = json.loads(out)
    assert found["equal"] is False
    assert [each["path"] for each in found["differences"]] == ["code_version", "risk.contributions[0].citation"]
    assert err.splitlines()[1].endswith(', now "another source"')
    assert err.splitlines()[2] == (
        f"It was recorded by version {assessment_of(order)['code_version']} of the desk and made again by 9.9.9."
    )


def test_order_that_is_unknown_or_was_not_judged_yet_ends_with_2() -> None:
    order = staged(person("tom", "trader"))
    assert run("nothing") == (2, "", "There is no order nothing.")
    early = NOW - timedelta(seconds=1)
    assert run(order.client_order_id, "--at", early.isoformat()) == (
        2,
        "",
        f"{order.client_order_id} was not judged by {early.isoformat()}.",
    )
    assert run(order.client_order_id, "--at", "soon")[::2] == (
        2,
        "--at=soon: must be a time in ISO 8601, such as 2025-11-03T15:00:00Z",
    )


def test_client_order_id_of_two_environments_asks_for_the_id(settings: Any) -> None:
    tom = person("tom", "trader")
    staged(tom, client_order_id="C-1")
    settings.EMO_ENV = "staging"
    staged(tom, client_order_id="C-1")
    with pytest.raises(NotReviewable, match=r"^C-1 names orders of several environments: give the order's id\.$"):
        as_of("C-1", at=NOW)


def test_decision_under_a_policy_that_was_only_a_file_cannot_be_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    order = staged(person("tom", "trader"))
    event = OrderEvent.objects.get(order=order)
    event.seen = {**event.seen, "policy_number": None}
    # The database refuses to change an event: it is given as an older version of the desk would have written it.
    monkeypatch.setattr(review, "_assessed", lambda order, at: event)
    with pytest.raises(NotReviewable, match="was judged under a policy that is not on record"):
        as_of(str(order.pk), at=NOW)


def test_document_of_the_policy_then_is_used_and_not_the_one_in_force(settings: Any, tmp_path: Path) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text("policy_version: first\nrisk: {max_order_notional: 900}")
    order = staged(person("tom", "trader"))
    document = "policy_version: second\nrisk: {max_order_notional: 850}"
    policy_versions.propose(document, actor=person("pat", "trader"), now=LATER, reason="x")
    assert PolicyVersion.objects.count() == 2
    again = as_of(str(order.pk), at=LATER).again
    assert (again["policy_version"], again["policy_number"]) == ("first", 1)
    assert again["risk"]["contributions"][0]["limit"] == "900.00"
