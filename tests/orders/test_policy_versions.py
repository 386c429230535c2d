"""The versions of the policy: tightening holds at once, loosening takes two, and no comparison is stale."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from orders import policy_versions
from orders.context import policy_in_force
from orders.models import PolicyVersion
from orders.policy import InvalidPolicy
from orders.policy_versions import approve, in_force, propose, withdraw
from orders.refusal import Refused
from tests.factories import NOW, person

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
MONDAY = NOW + timedelta(days=7)


def document(positions: int, label: str = "test", more: str = "") -> str:
    return f'policy_version: "{label}"\nrisk:\n  max_positions: {positions}\n{more}'


@pytest.fixture(autouse=True)
def policy_file(settings: Any, tmp_path: Path) -> Path:
    settings.EMO_POLICY_FILE = tmp_path / "policy.yaml"
    settings.EMO_POLICY_FILE.write_text(document(10, "file"))
    return settings.EMO_POLICY_FILE


@pytest.fixture
def trader() -> User:
    return person("tom", "trader")


@pytest.fixture
def officer() -> User:
    return person("olga", "risk officer")


def code_of(refused: pytest.ExceptionInfo[Refused]) -> str:
    return refused.value.code


def proposed(positions: int, by: User, *, now: Any = NOW, **options: Any) -> PolicyVersion:
    return propose(document(positions), actor=by, now=now, reason="because", **options)


# ---- the first one ---------------------------------------------------------------------------------------------------


def test_first_version_is_the_file_and_then_the_file_is_a_seed_only(policy_file: Path) -> None:
    first = in_force(NOW)
    assert (first.number, first.label, first.proposed_by, first.loosens) == (1, "file", None, False)
    assert first.document == policy_file.read_text()
    policy_file.write_text(document(99, "edited"))
    assert policy_in_force(LATER).policy.version == "file"
    assert PolicyVersion.objects.count() == 1


def test_first_version_holds_for_every_time_before() -> None:
    assert in_force(NOW).number == in_force(NOW - timedelta(days=3650)).number == 1


def test_file_that_cannot_be_read_is_named_while_there_is_no_version(policy_file: Path) -> None:
    policy_file.unlink()
    with pytest.raises(InvalidPolicy) as error:
        policy_in_force(NOW)
    assert str(error.value) == f"EMO_POLICY_FILE={policy_file}: can't be read (No such file or directory)"
    policy_file.write_text("policy_version: [")
    with pytest.raises(InvalidPolicy, match=f"^EMO_POLICY_FILE={policy_file}: line 1, column "):
        policy_in_force(NOW)
    policy_file.write_bytes(b"\xff")
    with pytest.raises(InvalidPolicy, match=r"can't be read \(it is not UTF-8\)$"):
        policy_in_force(NOW)
    assert PolicyVersion.objects.count() == 0


def test_policy_in_force_is_one_small_query_once_its_document_is_known() -> None:
    policy_in_force(NOW)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        policy_in_force(NOW)
    (query,) = queries.captured_queries
    assert '"document"' not in query["sql"]


# ---- proposing -------------------------------------------------------------------------------------------------------


def test_tightening_is_in_force_at_once(trader: User) -> None:
    version = proposed(8, trader)
    assert (version.number, version.loosens, version.effective_from, version.follows_id) == (2, False, NOW, 1)
    assert PolicyVersion.objects.get(number=2).changes == [
        {"name": "policy_version", "before": "file", "after": "test", "effect": "neutral", "against": 1},
        {"name": "risk.max_positions", "before": "10", "after": "8", "effect": "tightens", "against": 1},
    ]
    assert policy_in_force(NOW).policy.max_positions == 8
    assert policy_in_force(NOW).number == 2
    assert policy_in_force(NOW - timedelta(seconds=1)).policy.max_positions == 10


def test_loosening_waits_for_a_second_person(trader: User, officer: User) -> None:
    version = proposed(12, trader)
    assert (version.loosens, version.effective_from) == (True, None)
    assert policy_in_force(LATER).number == 1
    approved = approve(2, actor=officer, now=LATER)
    assert (approved.approved_by, approved.approved_at, approved.effective_from) == (officer, LATER, LATER)
    assert policy_in_force(LATER).policy.max_positions == 12
    assert policy_in_force(NOW).number == 1


def test_proposer_cannot_approve_their_own_not_even_past_the_code(officer: User) -> None:
    proposed(12, officer)
    with pytest.raises(Refused, match=r"^olga proposed policy 2: somebody else must approve\.$") as refused:
        approve(2, actor=officer, now=LATER)
    assert code_of(refused) == "SELF_APPROVAL"
    row = PolicyVersion.objects.filter(number=2)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.update(approved_by=officer, approved_at=LATER, effective_from=LATER)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.update(effective_from=LATER)
    assert policy_in_force(LATER).number == 1


@pytest.mark.parametrize("group", ["trader", "reviewer", "operator", "auditor"])
def test_only_who_has_the_permission_approves(trader: User, group: str) -> None:
    proposed(12, trader)
    with pytest.raises(Refused) as refused:
        approve(2, actor=person("other", group), now=LATER)
    assert code_of(refused) == "NOT_PERMITTED"
    assert policy_in_force(LATER).number == 1


def test_only_who_has_the_permission_proposes() -> None:
    with pytest.raises(Refused, match=r"^ada may not propose a policy: the permission .* is missing\.$"):
        proposed(8, person("ada", "auditor"))
    assert PolicyVersion.objects.count() == 0


def test_proposal_needs_a_reason_a_change_and_a_valid_document(trader: User, policy_file: Path) -> None:
    with pytest.raises(Refused) as refused:
        propose(document(8), actor=trader, now=NOW, reason="  ")
    assert code_of(refused) == "REASON_REQUIRED"
    with pytest.raises(Refused) as refused:
        propose(policy_file.read_text().replace("\n", "\r\n"), actor=trader, now=NOW, reason="same")
    assert code_of(refused) == "NOTHING_CHANGED"
    with pytest.raises(InvalidPolicy, match=r"^line 3, column 18: risk\.max_positions=-1: must be at least 1$"):
        proposed(-1, trader)
    assert PolicyVersion.objects.count() == 1


def test_version_takes_effect_when_its_proposer_wants_it_never_in_the_past(trader: User, officer: User) -> None:
    with pytest.raises(Refused) as refused:
        proposed(8, trader, effective_from=NOW - timedelta(seconds=1))
    assert code_of(refused) == "EFFECTIVE_IN_PAST"
    proposed(8, trader, effective_from=MONDAY)
    assert policy_in_force(MONDAY - timedelta(seconds=1)).number == 1
    assert policy_in_force(MONDAY).number == 2
    proposed(12, trader, effective_from=MONDAY + timedelta(days=1))
    assert approve(3, actor=officer, now=LATER).effective_from == MONDAY + timedelta(days=1)
    assert policy_in_force(MONDAY).number == 2


def test_approval_after_the_wanted_time_holds_from_the_approval(trader: User, officer: User) -> None:
    proposed(12, trader, effective_from=LATER)
    late = LATER + timedelta(hours=1)
    assert approve(2, actor=officer, now=late).effective_from == late


# ---- what a version follows ------------------------------------------------------------------------------------------


def test_version_is_compared_with_what_is_scheduled_too(trader: User, officer: User) -> None:
    proposed(5, trader, effective_from=MONDAY)
    # Tighter than what is in force, looser than what would be on Monday.
    version = proposed(8, trader)
    assert version.loosens
    assert policy_in_force(LATER).number == 1
    approve(3, actor=officer, now=LATER)
    assert policy_in_force(MONDAY).policy.max_positions == 8


def test_version_looser_than_the_one_in_force_waits_although_it_is_tighter_than_the_scheduled(
    trader: User, officer: User
) -> None:
    proposed(20, trader, effective_from=MONDAY)
    approve(2, actor=officer, now=NOW)
    version = proposed(15, trader)
    assert version.loosens
    assert {"name": "risk.max_positions", "before": "10", "after": "15", "effect": "loosens", "against": 1} in (
        version.changes
    )


def test_stale_proposal_is_refused_by_name(trader: User, officer: User) -> None:
    proposed(12, trader)
    proposed(8, trader)
    with pytest.raises(Refused) as refused:
        approve(2, actor=officer, now=LATER)
    assert str(refused.value) == (
        "Policy 2 was compared with policy 1, and policy 3 is the newest by now: propose it again."
    )
    assert code_of(refused) == "STALE"
    # Whatever the code overlooks, the database does not.
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyVersion.objects.filter(number=2).update(approved_by=officer, approved_at=LATER, effective_from=LATER)


def test_of_two_proposals_that_wait_the_second_is_stale_once_the_first_is_approved(trader: User, officer: User) -> None:
    proposed(12, trader)
    proposed(14, trader)
    approve(2, actor=officer, now=LATER)
    with pytest.raises(Refused) as refused:
        approve(3, actor=officer, now=LATER)
    assert code_of(refused) == "STALE"


def test_decided_version_is_not_decided_again(trader: User, officer: User) -> None:
    proposed(8, trader)
    with pytest.raises(Refused) as refused:
        approve(2, actor=officer, now=LATER)
    assert code_of(refused) == "NOTHING_TO_APPROVE"
    proposed(9, trader)
    withdraw(3, actor=trader, now=LATER)
    with pytest.raises(Refused) as refused:
        approve(3, actor=officer, now=LATER)
    assert code_of(refused) == "WITHDRAWN"
    with pytest.raises(Refused, match=r"^There is no policy 7\.$"):
        approve(7, actor=officer, now=LATER)


# ---- withdrawing -----------------------------------------------------------------------------------------------------


def test_waiting_proposal_is_withdrawn_by_its_proposer_or_an_approver_and_nobody_else(
    trader: User, officer: User
) -> None:
    proposed(12, trader)
    with pytest.raises(Refused) as refused:
        withdraw(2, actor=person("other", "trader"), now=LATER)
    assert code_of(refused) == "NOT_PERMITTED"
    version = withdraw(2, actor=trader, now=LATER)
    assert (version.withdrawn_by, version.withdrawn_at, version.effective_from) == (trader, LATER, None)
    proposed(13, trader)
    assert withdraw(3, actor=officer, now=LATER).withdrawn_by == officer
    with pytest.raises(Refused) as refused:
        withdraw(3, actor=officer, now=LATER)
    assert code_of(refused) == "WITHDRAWN"


def test_version_that_has_come_into_force_is_not_withdrawn(trader: User, officer: User) -> None:
    proposed(8, trader)
    for number in (1, 2):
        with pytest.raises(Refused) as refused:
            withdraw(number, actor=officer, now=LATER)
        assert code_of(refused) == "IN_FORCE"


def test_calling_off_what_tightens_takes_two(trader: User, officer: User) -> None:
    proposed(8, trader, effective_from=MONDAY)
    with pytest.raises(Refused) as refused:
        withdraw(2, actor=trader, now=LATER)
    assert code_of(refused) == "NOT_PERMITTED"
    withdraw(2, actor=officer, now=LATER)
    assert policy_in_force(MONDAY).number == 1
    proposed(8, officer, effective_from=MONDAY)
    with pytest.raises(Refused) as refused:
        withdraw(3, actor=officer, now=LATER)
    assert code_of(refused) == "SELF_APPROVAL"


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_document_this_code_cannot_read_is_refused_by_number_and_can_be_put_right(trader: User, officer: User) -> None:
    in_force(NOW)
    text = "policy_version: from a later version\nrisk: {max_new_thing: 5}\n"
    PolicyVersion.objects.update(document=text, checksum=hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(InvalidPolicy, match=r"^policy 1: line 2, column 8: risk\.max_new_thing: is unknown"):
        policy_in_force(NOW)
    version = proposed(3, trader)
    assert version.loosens
    approve(2, actor=officer, now=LATER)
    assert policy_in_force(LATER).policy.max_positions == 3


def test_document_that_was_changed_behind_the_desks_back_is_refused() -> None:
    in_force(NOW)
    policy_versions._parsed.clear()
    PolicyVersion.objects.update(document=document(1000, "file"))
    with pytest.raises(InvalidPolicy, match=r"^policy 1: its document is not the one that was proposed$"):
        policy_in_force(NOW)


def test_each_version_has_one_standing(trader: User, officer: User) -> None:
    proposed(12, trader)  # 2, overtaken by the next
    proposed(8, trader)  # 3, replaced
    proposed(7, trader, now=LATER)  # 4, in force
    proposed(5, trader, now=LATER, effective_from=MONDAY)  # 5, scheduled
    proposed(20, trader, now=LATER)  # 6, withdrawn
    withdraw(6, actor=trader, now=LATER)
    proposed(21, trader, now=LATER)  # 7, waits
    present = policy_versions.present(LATER)
    assert [present.standing(version) for version in policy_versions.history()] == [
        "replaced",
        "overtaken",
        "replaced",
        "in force",
        "scheduled",
        "withdrawn",
        "waits for approval",
    ]


# ---- the file --------------------------------------------------------------------------------------------------------


def said() -> list[str]:
    return [str(message.id) for message in run_checks(databases=["default"]) if message.id in ("emo.E009", "emo.W040")]


def test_file_that_differs_from_the_policy_in_force_is_told(policy_file: Path, trader: User) -> None:
    assert said() == []
    in_force(NOW)
    assert said() == []
    policy_file.write_text(document(99, "edited"))
    assert said() == ["emo.W040"]
    propose(policy_file.read_text(), actor=trader, now=NOW, reason="as the file says")
    assert said() == ["emo.W040"]
    policy_file.write_text("policy_version: [")
    assert said() == ["emo.E009"]
