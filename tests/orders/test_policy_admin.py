"""The policy in the admin: who may propose, approve and withdraw there, and what the pages show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from orders import policy_versions
from orders.models import PolicyVersion
from tests.factories import person

pytestmark = pytest.mark.django_db

LIST = "/admin/orders/policyversion/"
EVIL = "<script>alert(1)</script>"


def document(positions: int) -> str:
    return f'policy_version: "test"\nrisk:\n  max_positions: {positions}\n'


@pytest.fixture(autouse=True)
def policy_file(settings: Any, tmp_path: Path) -> None:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(document(10))


@pytest.fixture
def trader() -> User:
    return person("tom", "trader")


@pytest.fixture
def officer() -> User:
    return person("olga", "risk officer")


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def propose(by: User, text: str, **data: str) -> Any:
    return as_user(by).post(f"{LIST}add/", {"document": text, "reason": "because", **data})


def told(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def in_force() -> int:
    return policy_versions.in_force(timezone.now()).number


def test_form_opens_with_the_policy_in_force(trader: User) -> None:
    form = as_user(trader).get(f"{LIST}add/").context["form"]
    assert form.initial["document"] == document(10)


def test_what_tightens_is_in_force_at_once_and_line_ends_of_browsers_change_nothing(trader: User) -> None:
    response = propose(trader, document(8).replace("\n", "\r\n"))
    assert response["Location"] == f"{LIST}2/change/"
    assert told(response)[0].startswith("policy 2 (test) is in force from ")
    assert PolicyVersion.objects.get(number=2).document == document(8)
    assert in_force() == 2


def test_what_loosens_waits_and_is_approved_by_another(trader: User, officer: User) -> None:
    response = propose(trader, document(12))
    assert told(response) == ["policy 2 (test) loosens a limit: it waits for another person's approval."]
    page = as_user(officer).get(f"{LIST}2/change/").context["page"]
    assert [(row.name, row.before, row.after, row.effect) for row in page.changes] == [
        ("risk.max_positions", "10", "12", "loosens")
    ]
    assert (page.standing, page.can_approve, page.can_withdraw) == ("waits for approval", True, True)
    response = as_user(officer).post(f"{LIST}2/approve/")
    assert told(response) == ["policy 2 (test) is approved."]
    assert in_force() == 2


def test_proposer_sees_why_they_cannot_approve(officer: User) -> None:
    propose(officer, document(12))
    page = as_user(officer).get(f"{LIST}2/change/")
    assert "olga proposed policy 2: somebody else must approve." in page.content.decode()
    assert "/2/approve/" not in page.content.decode()
    assert told(as_user(officer).post(f"{LIST}2/approve/")) == [
        "Refused: olga proposed policy 2: somebody else must approve."
    ]
    assert in_force() == 1


@pytest.mark.parametrize("group", ["reviewer", "auditor", "operator"])
def test_others_see_everything_and_decide_nothing(trader: User, group: str) -> None:
    propose(trader, document(12))
    client = as_user(person("other", group))
    assert client.get(LIST).status_code == client.get(f"{LIST}2/change/").status_code == 200
    assert "/approve/" not in client.get(f"{LIST}2/change/").content.decode()
    for step in ("approve", "withdraw"):
        client.post(f"{LIST}2/{step}/")
    version = PolicyVersion.objects.get(number=2)
    assert (version.approved_by, version.withdrawn_by) == (None, None)


def test_who_may_not_propose_or_see_gets_nowhere(trader: User) -> None:
    propose(trader, document(12))
    auditor, stranger = as_user(person("ada", "auditor")), as_user(person("stranger"))
    assert auditor.get(f"{LIST}add/").status_code == auditor.post(f"{LIST}add/", {}).status_code == 403
    for url in (LIST, f"{LIST}2/change/", f"{LIST}add/"):
        assert stranger.get(url).status_code == 403
    for step in ("approve", "withdraw"):
        assert stranger.post(f"{LIST}2/{step}/").status_code == 403


def test_proposer_withdraws_their_own(trader: User) -> None:
    propose(trader, document(12))
    assert told(as_user(trader).post(f"{LIST}2/withdraw/")) == ["policy 2 (test) is withdrawn."]
    assert PolicyVersion.objects.get(number=2).withdrawn_by == trader


def test_problems_are_shown_with_their_lines_and_the_text_is_kept(trader: User) -> None:
    text = "policy_version: x\nrisk:\n  max_drawdown: 1.5\n  max_positions: 0\n"
    response = propose(trader, text)
    assert response.context["form"].errors["document"] == [
        "line 3, column 17: risk.max_drawdown=1.5: must be at most 1 (0.10 is 10 %)",
        "line 4, column 18: risk.max_positions=0: must be at least 1",
    ]
    assert text in response.content.decode()
    past = propose(trader, document(8), effective_from="2020-01-01T00:00")
    assert "is before" in past.context["form"].errors["effective_from"][0]
    assert not PolicyVersion.objects.filter(number=2).exists()


def test_nothing_on_the_pages_runs_and_nobody_edits_a_version(trader: User) -> None:
    text = document(8) + f"  restricted_symbols: ['{EVIL}']\n"
    propose(trader, text, reason=EVIL)
    client = as_user(User.objects.create_superuser("root", password="x"))
    for url in (LIST, f"{LIST}2/change/", f"{LIST}add/"):
        page = client.get(url).content.decode()
        assert EVIL not in page
        assert " style=" not in page
    assert client.post(f"{LIST}2/change/", {"document": "x"}).status_code == 405
    assert client.post(f"{LIST}2/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"{LIST}2/approve/").status_code == 405
    assert client.get(f"{LIST}99/change/").status_code == client.get(f"{LIST}x/change/").status_code == 404


def test_decision_needs_a_csrf_token(trader: User, officer: User) -> None:
    propose(trader, document(12))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(officer)
    assert strict.post(f"{LIST}2/approve/").status_code == 403
    assert in_force() == 1


def test_list_asks_as_much_for_many_versions_as_for_one(trader: User, django_assert_max_num_queries: Any) -> None:
    for positions in (9, 8, 7, 6):
        propose(trader, document(positions))
    client = as_user(trader)
    with django_assert_max_num_queries(12):
        page = client.get(LIST).content.decode()
    assert page.count("replaced") == 4
    assert page.count("in force") >= 1
