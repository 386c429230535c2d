"""Several people at the policy at the same moment, each in a thread with a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import connections

from orders.context import policy_in_force
from orders.models import PolicyVersion
from orders.policy_versions import approve, in_force, propose
from orders.refusal import Refused
from tests.factories import NOW, person

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("emptied_afterwards")]

LATER = NOW + timedelta(minutes=5)
ROUNDS = 20


def at_once(*actions: Callable[[], object]) -> list[str]:
    """The code of each one's refusal, "" where it won."""
    barrier = threading.Barrier(len(actions))
    codes = ["did not end"] * len(actions)

    def run(place: int, action: Callable[[], object]) -> None:
        try:
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


def document(positions: int) -> str:
    return f"policy_version: x\nrisk: {{max_positions: {positions}}}"


def test_two_that_ask_first_make_one_first_version() -> None:
    for _ in range(ROUNDS):
        PolicyVersion.objects.all().delete()
        assert at_once(*[partial(in_force, NOW)] * 4) == [""] * 4
        assert PolicyVersion.objects.count() == 1


def test_two_proposals_get_different_numbers_and_the_second_follows_the_first() -> None:
    trader = person("tom", "trader")
    in_force(NOW)
    for limit in range(ROUNDS, 0, -1):
        tight, tighter = (document(positions) for positions in (2 * limit + 1, 2 * limit))
        codes = at_once(*[partial(propose, text, actor=trader, now=NOW, reason="x") for text in (tight, tighter)])
        assert codes == ["", ""]
    versions = list(PolicyVersion.objects.order_by("number"))
    assert [version.number for version in versions] == list(range(1, 2 * ROUNDS + 2))
    for version in versions[1:]:
        before = max(each.number for each in versions if each.effective_from and each.number < version.number)
        assert version.follows_id == before
    # Each was compared with the one before it: what came in looser than that waits.
    for version in versions:
        assert version.loosens == (version.effective_from is None)


def test_of_two_approvals_of_one_version_one_wins() -> None:
    trader, one, two = person("tom", "trader"), person("one", "risk officer"), person("two", "risk officer")
    in_force(NOW)
    for positions in range(21, 21 + ROUNDS):
        number = propose(document(positions), actor=trader, now=NOW, reason="x").number
        codes = at_once(*[partial(approve, number, actor=who, now=LATER) for who in (one, two)])
        assert sorted(codes) in (["", "CHANGED_MEANWHILE"], ["", "NOTHING_TO_APPROVE"])
        assert PolicyVersion.objects.get(number=number).approved_by == (one, two)[codes.index("")]


def test_of_two_versions_that_follow_the_same_one_only_one_is_approved() -> None:
    trader, one, two = person("tom", "trader"), person("one", "risk officer"), person("two", "risk officer")
    in_force(NOW)
    for step in range(ROUNDS):
        first, second = (
            propose(document(30 + 2 * step + more), actor=trader, now=NOW, reason="x").number for more in (0, 1)
        )
        codes = at_once(partial(approve, first, actor=one, now=LATER), partial(approve, second, actor=two, now=LATER))
        assert sorted(codes) == ["", "STALE"]
        assert policy_in_force(LATER).number == (first, second)[codes.index("")]
