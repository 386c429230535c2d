"""Which backups are kept, and what in the folder is touched."""

from __future__ import annotations

import multiprocessing
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.retention import Keep, kept
from emo_site.db.backup.shelf import Shelf


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


DAILY = [at("2025-11-03T02:00") - timedelta(days=days) for days in range(60)]


@pytest.mark.parametrize(
    ("times", "keep", "thrown_away"),
    [
        ("", Keep(7, 4, 12), ""),
        # The newest stays whatever is asked for.
        ("2025-11-03", Keep(0, 0, 0), ""),
        ("2025-11-03T02 2025-11-03T01", Keep(0, 0, 0), "2025-11-03T01"),
        # Of one day the newest.
        ("2025-11-03T02 2025-11-03T14 2025-11-02", Keep(2, 0, 0), "2025-11-03T02"),
        # Days without a backup don't count.
        ("2025-11-03 2025-09-01 2025-08-01", Keep(2, 0, 0), "2025-08-01"),
        # Weeks are ISO weeks: 2024-12-30 and 2025-01-02 are in the same one, the Sunday before is not.
        ("2025-01-02 2024-12-30 2024-12-29", Keep(0, 2, 0), "2024-12-30"),
        ("2025-11-03 2025-10-31 2025-10-01", Keep(0, 0, 2), "2025-10-01"),
        # What one rule lets go another may keep.
        ("2025-11-03 2025-11-02 2025-10-01", Keep(1, 0, 2), "2025-11-02"),
    ],
)
def test_what_is_thrown_away(times: str, keep: Keep, thrown_away: str) -> None:
    given_times = [at(time) for time in times.split()]
    assert set(given_times) - kept(given_times, keep) == {at(time) for time in thrown_away.split()}


def test_sixty_nightly_backups_become_twelve() -> None:
    left = sorted(kept(DAILY, Keep(7, 4, 12)), reverse=True)
    assert [time.strftime("%m-%d") for time in left] == [
        *("11-03", "11-02", "11-01", "10-31", "10-30", "10-29", "10-28"),
        *("10-26", "10-19"),
        "09-30",
    ]


def test_days_are_those_of_utc() -> None:
    east = datetime.fromisoformat("2025-11-03T01:00+02:00")
    assert kept([east, at("2025-11-02T22:00")], Keep(7, 0, 0)) == {east}


def between(first: str, last: str) -> st.SearchStrategy[datetime]:
    """Times in UTC; hypothesis wants the ends without a zone."""
    return st.datetimes(datetime.fromisoformat(first), datetime.fromisoformat(last), timezones=st.just(UTC))


TIMES = st.lists(between("2020-01-01", "2030-01-01"), max_size=60)
KEEPS = st.builds(Keep, *[st.integers(0, 8)] * 3)


@given(TIMES, KEEPS)
def test_newest_is_always_kept_and_pruning_again_changes_nothing(times: list[datetime], keep: Keep) -> None:
    left = kept(times, keep)
    assert left <= set(times)
    assert not times or max(times) in left
    assert len(left) <= max(1, keep.daily + keep.weekly + keep.monthly)
    assert kept(left, keep) == left


@given(TIMES, KEEPS, between("2030-01-02", "2031-01-01"))
def test_what_was_thrown_away_is_never_wanted_later(times: list[datetime], keep: Keep, later: datetime) -> None:
    assert kept([*times, later], keep) - {later} <= kept(times, keep)


# ---- the folder -----------------------------------------------------------------------------------------------------

OWN = "emo-dev-20251103T020000Z.tar.age"
FOREIGN = [
    "emo-prod-20201103T020000Z.tar.age",
    "emo-dev-20201103T020000Z.tar.age.asc",
    "emo-dev-20201303T020000Z.tar.age",
    "emo-dev-20201103T020000Z.tar",
    "xemo-dev-20201103T020000Z.tar.age",
    "notes.txt",
    ".emo-prod-20201103T020000Z.tar.age.partial",
    ".something.partial",
]


def test_nothing_foreign_in_the_folder_is_touched(tmp_path: Path) -> None:
    for name in FOREIGN:
        (tmp_path / name).write_text("x")
    (tmp_path / "emo-dev-20201104T020000Z.tar.age").mkdir()
    (tmp_path / "emo-dev-20201105T020000Z.tar.age").symlink_to(tmp_path / "notes.txt")
    for stamp in ("20251103T020000Z", "20251102T020000Z", "20251101T020000Z"):
        (tmp_path / f"emo-dev-{stamp}.tar.age").write_text("x")
    before = {path.name for path in tmp_path.iterdir()}
    shelf = Shelf(tmp_path, "dev")
    with shelf.locked():
        assert shelf.clear_leftovers() == []
        removed = shelf.prune(Keep(2, 0, 0), at("2025-11-03T02:00"))
    assert [path.name for path in removed] == ["emo-dev-20251101T020000Z.tar.age"]
    assert {path.name for path in tmp_path.iterdir()} == before - {"emo-dev-20251101T020000Z.tar.age"} | {".lock"}


@pytest.mark.parametrize("keep", [Keep(1, 0, 0), Keep(0, 0, 0), Keep(2, 1, 1)])
def test_backup_just_made_outlives_those_of_a_clock_that_was_ahead(keep: Keep, tmp_path: Path) -> None:
    for stamp in ("20251103T020000Z", "20251101T020000Z", "20251103T020100Z", "20261231T020000Z"):
        (tmp_path / f"emo-dev-{stamp}.tar.age").write_text("x")
    shelf, now = Shelf(tmp_path, "dev"), at("2025-11-03T02:00")
    assert {backup.made_at for backup in shelf.doomed(keep, now)} <= {at("2025-11-01T02:00")}
    shelf.prune(keep, now)
    left = {path.name for path in tmp_path.iterdir()}
    assert left >= {OWN, "emo-dev-20251103T020100Z.tar.age", "emo-dev-20261231T020000Z.tar.age"}
    assert ("emo-dev-20251101T020000Z.tar.age" in left) == (keep.daily == 2)


def test_remains_of_killed_backups_are_removed(tmp_path: Path) -> None:
    left = [f".{OWN}.partial", f".{OWN}.default.partial", f".{OWN}.default.partial-wal"]
    for name in left:
        (tmp_path / name).write_text("x")
    (tmp_path / OWN).write_text("x")
    assert sorted(path.name for path in Shelf(tmp_path, "dev").clear_leftovers()) == sorted(left)
    assert [path.name for path in tmp_path.iterdir()] == [OWN]


def test_newest_is_the_newest_by_name(tmp_path: Path) -> None:
    (tmp_path / OWN).write_text("x")
    (tmp_path / "emo-dev-20241103T020000Z.tar.age").write_text("x")
    assert Shelf(tmp_path, "dev").newest(at("2025-11-04T00:00")).path == tmp_path / OWN


def test_folder_without_backups_is_said(tmp_path: Path) -> None:
    with pytest.raises(CouldNot, match="there is no backup of dev"):
        Shelf(tmp_path / "nowhere", "dev").newest(at("2025-11-04T00:00"))


def _hold(folder: Path, held: object, done: object) -> None:
    with Shelf(folder, "dev").locked():
        held.set()  # type: ignore[attr-defined]
        done.wait(30)  # type: ignore[attr-defined]


def test_second_writer_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(tmp_path, held, done))
    first.start()
    try:
        assert held.wait(30)
        with pytest.raises(CouldNot, match=f"another backup or restore is running .process {first.pid}"):
            Shelf(tmp_path, "dev").locked().__enter__()
    finally:
        done.set()
        first.join()
    with Shelf(tmp_path, "dev").locked():
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
