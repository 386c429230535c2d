"""Failed logins are counted by name and by address, before the password is looked at, for all workers together."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from emo_site.login import attempts, lockout
from emo_site.login.attempts import Attempt
from emo_site.login.models import FailedLogins
from tests.factories import person

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
ADA = Attempt(name="ada", address="203.0.113.7")
MINUTE = timedelta(minutes=1)


def at(number: int) -> Attempt:
    """Ada's name from one address or another, none of them often enough to be locked itself."""
    return Attempt(name="ada", address=f"203.0.113.{number}")


def fail(times: int, *, now: datetime = NOW) -> None:
    for number in range(times):
        assert attempts.begin(at(number), now=now) is None


def test_the_sixth_attempt_within_a_minute_has_to_wait() -> None:
    fail(5)
    assert attempts.begin(ADA, now=NOW) == MINUTE
    assert attempts.begin(ADA, now=NOW + timedelta(seconds=59)) == timedelta(seconds=1)
    assert attempts.begin(ADA, now=NOW + MINUTE) is None


def test_each_further_failure_waits_longer_and_waiting_costs_nothing() -> None:
    fail(5)
    now = NOW
    for wait in lockout.NAME.waits:
        for _ in range(3):
            assert attempts.begin(ADA, now=now) == wait
        now += wait
        assert attempts.begin(Attempt(name="ada", address=""), now=now) is None
    assert attempts.begin(ADA, now=now) == lockout.NAME.waits[-1]


@pytest.mark.parametrize("name", ["Ada", "ADA", "\N{FULLWIDTH LATIN SMALL LETTER A}da"])
def test_a_name_is_the_same_name_however_it_is_spelt(name: str) -> None:
    fail(5)
    assert attempts.begin(Attempt(name=name, address=""), now=NOW) == MINUTE


def test_names_that_nobody_has_are_locked_alike() -> None:
    person("ada", "reviewer")
    waits = {}
    for name in ("ada", "nobody"):
        for number in range(6):
            waits[name, number] = attempts.begin(Attempt(name=name, address=""), now=NOW)
    assert [waits["ada", number] for number in range(6)] == [waits["nobody", number] for number in range(6)]
    assert waits["nobody", 5] == MINUTE


def test_an_address_that_tries_many_names_has_to_wait() -> None:
    for number in range(20):
        assert attempts.begin(Attempt(name=f"name {number}", address="203.0.113.7"), now=NOW) is None
    assert attempts.begin(Attempt(name="somebody else", address="203.0.113.7"), now=NOW) == timedelta(minutes=15)
    assert attempts.begin(Attempt(name="somebody else", address="203.0.113.8"), now=NOW) is None
    # From the locked address nobody can have others locked out by their names.
    for _ in range(10):
        attempts.begin(Attempt(name="victim", address="203.0.113.7"), now=NOW)
    assert attempts.begin(Attempt(name="victim", address="203.0.113.8"), now=NOW) is None


def test_a_locked_person_who_goes_on_trying_does_not_lock_their_office_out() -> None:
    for _ in range(40):
        attempts.begin(ADA, now=NOW)
    assert attempts.begin(Attempt(name="bob", address=ADA.address), now=NOW) is None


def test_success_forgets_the_failures_of_the_name_and_of_the_address_only_this_one() -> None:
    for _ in range(4):
        attempts.begin(ADA, now=NOW)
    attempts.begin(ADA, now=NOW)
    attempts.succeeded(ADA)
    assert not attempts.of_name("ada").exists()
    assert attempts.of_address(ADA.address).get().failures == 4
    assert attempts.begin(ADA, now=NOW) is None


def test_a_right_password_alone_forgives_this_attempt_and_no_other() -> None:
    fail(4)
    assert attempts.begin(ADA, now=NOW) is None
    attempts.passed(ADA)
    assert attempts.of_name("ada").get().failures == 4
    assert attempts.begin(ADA, now=NOW) is None
    assert attempts.begin(ADA, now=NOW) == MINUTE


def test_failures_are_forgotten_after_a_quiet_day() -> None:
    fail(5)
    assert attempts.begin(ADA, now=NOW + timedelta(days=1, minutes=1)) is None
    assert attempts.of_name("ada").get().failures == 1
    assert FailedLogins.objects.count() == 2


def test_what_is_typed_as_a_name_is_kept_nowhere() -> None:
    attempts.begin(Attempt(name="my password, by mistake", address="203.0.113.7"), now=NOW)
    kept = [str(value) for row in FailedLogins.objects.values_list() for value in row]
    assert not [value for value in kept if "password" in value]
    assert {str(row) for row in FailedLogins.objects.all()} == {"a name that nobody has", "address 203.0.113.7"}


def test_a_lock_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    person("ada", "reviewer")
    with caplog.at_level(logging.INFO, logger="emo.login"):
        fail(5)
    assert caplog.messages == ["ada is locked for 1 minute unless this login succeeds: 5 failures"]


def test_an_operator_releases_a_name_or_an_address() -> None:
    fail(5)
    call_command("release_login", "--name", "Ada")
    assert attempts.begin(ADA, now=NOW) is None
    call_command("release_login", "--address", ADA.address)
    assert not attempts.of_address(ADA.address).exists()
    with pytest.raises(CommandError, match="bob has no failed logins"):
        call_command("release_login", "--name", "bob")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_hundred_attempts_at_once_get_no_more_guesses_than_one_after_the_other() -> None:
    def one(number: int) -> bool:
        try:
            return attempts.begin(Attempt(name="ada", address=""), now=NOW) is None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        let = list(pool.map(one, range(100)))
    assert sum(let) == 5


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_first_attempts_at_the_same_moment_are_five_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has found no row before any of them makes one."""
    counted, all_have_looked, looked = attempts._counted, threading.Barrier(8), threading.local()

    def look(*args: Any) -> bool:
        found = counted(*args)
        if not hasattr(looked, "once"):
            looked.once = True
            connections.close_all()  # the pool has fewer than eight
            all_have_looked.wait(30)
        return found

    def one(number: int) -> bool:
        try:
            return attempts.begin(Attempt(name="ada", address=""), now=NOW) is None
        finally:
            connections.close_all()

    monkeypatch.setattr(attempts, "_counted", look)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 5
