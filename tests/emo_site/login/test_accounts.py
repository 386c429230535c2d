"""Second factors: set up by a code, each code good once, backup codes, and how they are lost, removed and reset."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connections

from emo_site.login import accounts, secret_box, totp
from emo_site.login.models import Account, BackupCode
from tests.factories import person

pytestmark = pytest.mark.django_db
SECRET = b"12345678901234567890"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
STEP = timedelta(seconds=totp.STEP_SECONDS)
OLD_KEY, NEW_KEY = "o" * 50, "n" * 50


@pytest.fixture
def ada() -> User:
    return person("ada", "reviewer")


def code(now: datetime) -> str:
    return totp.code_at(SECRET, totp.step_at(now))


def enrolled(user: User) -> list[str]:
    return accounts.enrol(user, SECRET, code(NOW), now=NOW)


def again(user: User) -> User:
    return User.objects.get(pk=user.pk)


def test_it_is_set_up_by_a_code_of_the_secret_and_not_without(ada: User) -> None:
    with pytest.raises(accounts.Refused, match="not the code of this secret"):
        accounts.enrol(ada, SECRET, "000000", now=NOW)
    assert not accounts.is_enrolled(again(ada))
    codes = enrolled(ada)
    assert accounts.is_enrolled(again(ada))
    assert len(set(codes)) == accounts.backup_codes_left(ada) == 10
    with pytest.raises(accounts.Refused, match="set up already"):
        accounts.enrol(ada, SECRET, code(NOW), now=NOW)


def test_a_code_is_good_once(ada: User) -> None:
    enrolled(ada)
    assert not accounts.accepts(ada, code(NOW), now=NOW), "it was used to set up"
    later = NOW + STEP
    assert accounts.accepts(ada, code(later), now=later)
    assert not accounts.accepts(ada, code(later), now=later)
    assert not accounts.accepts(ada, code(NOW), now=later), "an older one"


@pytest.mark.parametrize("typed", ["{} {}", " {}{} ", "{}-{}"])
def test_blanks_and_dashes_do_not_matter(ada: User, typed: str) -> None:
    enrolled(ada)
    later = NOW + STEP
    assert accounts.accepts(ada, typed.format(code(later)[:3], code(later)[3:]), now=later)


def test_a_backup_code_is_good_once_and_for_its_owner(ada: User) -> None:
    first, second, *_ = enrolled(ada)
    bob = person("bob", "reviewer")
    accounts.enrol(bob, SECRET, code(NOW), now=NOW)
    assert not accounts.accepts(bob, first, now=NOW)
    assert accounts.accepts(ada, first, now=NOW)
    assert not accounts.accepts(ada, first, now=NOW)
    assert accounts.accepts(ada, second.upper().replace("-", " "), now=NOW)
    assert accounts.backup_codes_left(ada) == 8


def test_new_backup_codes_void_the_old_ones(ada: User) -> None:
    old = enrolled(ada)
    new = accounts.renew_backup_codes(ada, now=NOW)
    assert not set(old) & set(new)
    assert not accounts.accepts(ada, old[0], now=NOW)
    assert accounts.accepts(ada, new[0], now=NOW)


def test_nobody_without_one_has_a_code(ada: User) -> None:
    assert not accounts.accepts(ada, "000000", now=NOW)
    with pytest.raises(accounts.Refused, match="No second factor"):
        accounts.renew_backup_codes(ada, now=NOW)
    with pytest.raises(accounts.Refused, match="ada has no second factor"):
        accounts.remove(ada)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_who_send_the_same_code_at_once_one_is_let_in(ada: User) -> None:
    backup = enrolled(ada)[0]
    later = NOW + STEP

    def send(sent: str) -> bool:
        try:
            return accounts.accepts(ada, sent, now=later)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, [code(later)] * 16)) == 1
        assert sum(pool.map(send, [backup] * 16)) == 1


def test_the_database_alone_gives_no_code_away(ada: User) -> None:
    codes = enrolled(ada)
    kept = str(list(Account.objects.values_list()) + list(BackupCode.objects.values_list()))
    assert totp.as_text(SECRET) not in kept
    assert SECRET.decode() not in kept
    assert not [each for each in codes if each in kept or each.replace("-", "") in kept]


def test_the_secret_key_can_be_replaced(ada: User, settings: object) -> None:
    settings.SECRET_KEY = OLD_KEY
    backup = enrolled(ada)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, [OLD_KEY]
    later = NOW + STEP
    assert accounts.accepts(ada, backup[0], now=later)
    assert accounts.accepts(ada, code(later), now=later)
    # From the first code on the old one is not needed for it any more.
    settings.SECRET_KEY_FALLBACKS = []
    assert accounts.accepts(ada, code(later + STEP), now=later + STEP)


def test_a_secret_of_a_key_that_is_gone_is_an_error_and_not_a_wrong_code(ada: User, settings: object) -> None:
    settings.SECRET_KEY = OLD_KEY
    enrolled(ada)
    settings.SECRET_KEY = NEW_KEY
    with pytest.raises(secret_box.CannotOpen, match="another SECRET_KEY"):
        accounts.accepts(ada, code(NOW + STEP), now=NOW + STEP)


def test_another_person_resets_it_and_that_is_on_record(ada: User, caplog: pytest.LogCaptureFixture) -> None:
    enrolled(ada)
    root = User.objects.create_superuser("root")
    with pytest.raises(accounts.Refused, match="can't reset their own"):
        accounts.reset(ada, by=ada)
    with caplog.at_level(logging.INFO, logger="emo.login"):
        accounts.reset(ada, by=root)
    assert not accounts.is_enrolled(again(ada))
    assert not BackupCode.objects.exists()
    assert caplog.messages[-1] == "ada: Second factor reset. By root."
    entry = LogEntry.objects.latest("pk")
    assert (entry.user, entry.get_edited_object(), entry.change_message) == (root, ada, "Second factor reset.")


def test_the_operator_resets_it_where_nobody_else_is(ada: User) -> None:
    enrolled(ada)
    call_command("reset_second_factor", "ada")
    assert not accounts.is_enrolled(again(ada))
    with pytest.raises(CommandError, match="ada has no second factor"):
        call_command("reset_second_factor", "ada")
    with pytest.raises(CommandError, match="username='eve': there is nobody of that name"):
        call_command("reset_second_factor", "eve")


@pytest.mark.parametrize(
    ("mode", "permission", "missing"),
    [
        ("required", "orders.review_stagedorder", True),
        ("required", "orders.halt_tradingstatechange", True),
        ("required", "orders.submit_stagedorder", False),
        ("optional", "orders.review_stagedorder", False),
    ],
)
def test_it_is_demanded_where_the_setting_and_the_permission_say_so(
    ada: User, settings: object, mode: str, permission: str, missing: bool
) -> None:
    settings.EMO_SECOND_FACTOR = mode
    assert accounts.is_missing(ada, permission) is missing
    enrolled(ada)
    assert accounts.is_missing(again(ada), permission) is False
