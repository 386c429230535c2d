"""A backup that is old, or that nobody has proven, is told; so is a proof that failed."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from emo_site.db.backup import verdicts
from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.shelf import Backup, Shelf
from monitoring.backup_probes import BackupsProbe
from monitoring.health import Finding

NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


@pytest.fixture
def shelf(tmp_path: Path, settings: Any) -> Shelf:
    settings.EMO_BACKUP_DIR, settings.EMO_ENV = tmp_path, "prod"
    return Shelf(tmp_path, "prod")


def made(shelf: Shelf, hours: float) -> Backup:
    path = shelf.path_for(NOW - timedelta(hours=hours))
    path.write_bytes(b"archive")
    return next(each for each in shelf.backups() if each.path == path)


def verified(shelf: Shelf, backup: Backup, *problems: str, hours: float = 1) -> None:
    verdicts.keep(shelf, backup, problems=problems, now=NOW - timedelta(hours=hours))


def asked() -> Finding:
    with freeze_time(NOW):
        finding = BackupsProbe().run()
    assert bool(finding.remedy) == (finding.status != "healthy")
    return finding


def test_no_backup_at_all_is_a_warning_and_none_is_needed_while_developing(shelf: Shelf, settings: Any) -> None:
    assert said(asked()) == ("warning", f"no backup of this desk lies in {shelf.folder}")
    settings.EMO_ENV = "dev"
    assert said(asked()) == ("healthy", f"dev: no backup of this desk lies in {shelf.folder}")


def test_last_nights_backup_that_was_proven_is_healthy(shelf: Shelf) -> None:
    verified(shelf, made(shelf, 13))
    finding = asked()
    assert said(finding) == ("healthy", "the newest is 13.0 h old, the newest that was proven 13.0 h")
    assert finding.metrics["last_verdict"] == "proven"
    assert datetime.fromisoformat(finding.metrics["verified_at"]).tzinfo is not None
    assert finding.metrics["newest_bytes"] == 7


def test_this_nights_may_wait_for_its_proof(shelf: Shelf) -> None:
    verified(shelf, made(shelf, 24))
    made(shelf, 0.5)
    assert said(asked()) == ("healthy", "the newest is 0.5 h old, the newest that was proven 24.0 h")


@pytest.mark.parametrize(
    ("hours", "status", "limit"),
    [(26, "healthy", ""), (26.5, "warning", "26"), (72, "warning", "26"), (73, "error", "72")],
)
def test_a_backup_that_ages(shelf: Shelf, hours: float, status: str, limit: str) -> None:
    verified(shelf, made(shelf, hours))
    told = f"the newest is {hours:.1f} h old, the newest that was proven {hours:.1f} h"
    found = asked()
    assert str(found.status) == status
    assert found.message.endswith(told)
    assert f"(limit {limit} h)" in found.message if limit else found.message == told


def test_new_backups_that_nobody_proves_any_more_are_told(shelf: Shelf) -> None:
    verified(shelf, made(shelf, 50), hours=49)
    made(shelf, 2)
    assert said(asked()) == (
        "warning",
        "the newest proven backup is 50.0 h old (limit 26 h);"
        " the newest is 2.0 h old, the newest that was proven 50.0 h",
    )


def test_backups_of_which_none_was_ever_proven_are_an_error(shelf: Shelf) -> None:
    made(shelf, 2)
    made(shelf, 26)
    assert said(asked()) == ("error", "2 backups, and none was ever proven")


def test_a_proof_that_failed_is_an_error_until_one_succeeds(shelf: Shelf) -> None:
    verified(shelf, made(shelf, 26), hours=25)
    newest = made(shelf, 2)
    verified(shelf, newest, "default.pgdump: SHA-256 differs", "market_events: 10 rows, 9 found")
    assert said(asked()) == (
        "error",
        f"{newest.path.name} was not proven 1.0 h ago: default.pgdump: SHA-256 differs; market_events: 10 rows,"
        " 9 found",
    )
    verified(shelf, newest, hours=0.5)
    assert said(asked())[0] == "healthy"


def test_a_failed_proof_does_not_take_the_last_good_one_away(shelf: Shelf) -> None:
    good = made(shelf, 26)
    verified(shelf, good)
    verified(shelf, made(shelf, 2), "damaged")
    known = verdicts.read(shelf)
    assert known.proven is not None
    assert known.proven.archive == good.path.name
    assert known.last is not None
    assert known.last.problems == ("damaged",)


def test_backups_of_another_environment_and_of_the_future_do_not_count(shelf: Shelf) -> None:
    made(Shelf(shelf.folder, "staging"), 1)
    made(shelf, -5)
    assert said(asked()) == ("warning", f"no backup of this desk lies in {shelf.folder}")


def test_a_verdict_that_cannot_be_read_is_said_and_written_anew(shelf: Shelf) -> None:
    backup = made(shelf, 2)
    verdicts.place(shelf).write_text('{"last": {}}')
    finding = asked()
    assert str(finding.status) == "unknown"
    assert ".emo-prod-verdicts.json: is not what verify_backup writes (KeyError: 'archive')" in finding.message
    verified(shelf, backup)
    assert said(asked())[0] == "healthy"


def test_a_verdict_is_for_its_owner_only_and_leaves_nothing_beside(shelf: Shelf) -> None:
    verified(shelf, made(shelf, 2))
    assert verdicts.place(shelf).stat().st_mode & 0o777 == 0o600
    assert len(list(shelf.folder.iterdir())) == 2


def test_a_verdict_that_cannot_be_written_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    backup = made(shelf, 2)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(CouldNot, match=r"can't be written \(No space left on device\)"):
        verified(shelf, backup)
    assert [path.name for path in shelf.folder.iterdir()] == [backup.path.name]
