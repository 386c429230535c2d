"""Keys of backups: read strictly, never shown, never overwritten."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyrage import x25519

from emo_site.db.backup import keys
from emo_site.db.backup.errors import CouldNot

NOW = datetime(2025, 11, 3, 15, tzinfo=UTC)
SECRET = x25519.Identity.generate()
PUBLIC = SECRET.to_public()


def shown(found: keys.Keys) -> tuple[list[str], list[str]]:
    return [str(each) for each in found.recipients], [str(each) for each in found.identities]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SECRET}", ([str(PUBLIC)], [str(SECRET)])),
        (f"# created: now\n# public key: {PUBLIC}\n{SECRET}\n", ([str(PUBLIC)], [str(SECRET)])),
        (f"{PUBLIC}", ([str(PUBLIC)], [])),
        (f"{PUBLIC} {SECRET}", ([str(PUBLIC)], [str(SECRET)])),
        (f"{PUBLIC},{SECRET} # both", ([str(PUBLIC)], [str(SECRET)])),
        ("", ([], [])),
        ("# nothing yet", ([], [])),
    ],
    ids=("secret", "file of age-keygen", "public", "both", "both in one line", "empty", "comment"),
)
def test_keys_are_read(text: str, expected: tuple[list[str], list[str]]) -> None:
    assert shown(keys.parse(text)) == expected


@pytest.mark.parametrize(
    "bad",
    ["hunter2", str(SECRET)[:-1], str(SECRET).lower() + "x", "age1notakey", str(PUBLIC)[:-2]],
    ids=("word", "cut", "lower case", "no public key", "cut public key"),
)
def test_malformed_key_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(CouldNot) as error:
        keys.parse(f"# mine\n{bad}")
    assert str(error.value).startswith("EMO_BACKUP_KEY: line 2 holds something that is no key of age")
    assert bad not in str(error.value)
    assert error.value.__cause__ is None


def test_missing_key_is_refused_with_the_way_to_make_one() -> None:
    with pytest.raises(CouldNot, match="is not set, and backups are never written unencrypted: make one with `manage"):
        keys.for_making("")
    with pytest.raises(CouldNot, match="EMO_BACKUP_KEY is not set: opening a backup needs the secret key"):
        keys.for_opening("")


def test_public_key_makes_backups_and_opens_none() -> None:
    assert keys.for_making(str(PUBLIC)).identities == ()
    with pytest.raises(CouldNot, match="EMO_BACKUP_KEY holds public keys only"):
        keys.for_opening(str(PUBLIC))


def test_new_key_is_for_its_owner_only_and_can_be_read(tmp_path: Path) -> None:
    public = keys.make(tmp_path / "key", now=NOW)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert shown(keys.for_opening((tmp_path / "key").read_text()))[0] == [public]


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    keys.make(tmp_path / "key", now=NOW)
    before = (tmp_path / "key").read_text()
    with pytest.raises(CouldNot, match="must not be overwritten"):
        keys.make(tmp_path / "key", now=NOW)
    assert (tmp_path / "key").read_text() == before


def test_key_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(CouldNot, match="can't be written"):
        keys.make(tmp_path / "no" / "key", now=NOW)
