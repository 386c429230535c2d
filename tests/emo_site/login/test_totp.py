"""Codes are those of RFC 6238, good once, and about now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from emo_site.login import totp

SECRET = b"12345678901234567890"
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HERE = totp.step_at(NOW)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        # Appendix B of the RFC, of eight digits the last six.
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    assert totp.code_at(SECRET, totp.step_at(datetime.fromtimestamp(seconds, UTC))) == code


@pytest.mark.parametrize(("away", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_half_a_minute_off(away: int, taken: bool) -> None:
    found = totp.matching_step(SECRET, totp.code_at(SECRET, HERE + away), now=NOW, after=0)
    assert found == (HERE + away if taken else None)


def test_a_step_that_was_used_and_all_before_it_are_refused() -> None:
    assert totp.matching_step(SECRET, totp.code_at(SECRET, HERE), now=NOW, after=HERE) is None
    assert totp.matching_step(SECRET, totp.code_at(SECRET, HERE - 1), now=NOW, after=HERE) is None
    assert totp.matching_step(SECRET, totp.code_at(SECRET, HERE + 1), now=NOW, after=HERE) == HERE + 1


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦"])
def test_what_is_no_code_matches_nothing(code: str) -> None:
    assert totp.matching_step(SECRET, code, now=NOW + timedelta(minutes=3), after=0) is None


def test_the_address_tells_an_app_all_that_it_needs() -> None:
    address = urlsplit(totp.address_of(SECRET, issuer="EMO Desk", name="ada&co"))
    assert (address.scheme, address.netloc, unquote(address.path)) == ("otpauth", "totp", "/EMO Desk:ada&co")
    assert parse_qs(address.query) == {"secret": ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"], "issuer": ["EMO Desk"]}


def test_secrets_are_as_long_as_the_hash_and_never_the_same() -> None:
    made = {totp.new_secret() for _ in range(20)}
    assert len(made) == 20
    assert {len(secret) for secret in made} == {20}
