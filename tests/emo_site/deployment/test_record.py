"""The record of deployments leads back to the last state that was whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emo_site.db.backup.shelf import Shelf
from emo_site.deployment import record
from emo_site.deployment.record import Deployment, NoRecord

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
FIRST = Deployment(started_at=AT, code="1.1", code_before="1.0", before={"default": ("orders.0001_initial",)})


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "backups", "prod")


def test_deployment_is_read_as_it_was_written(shelf: Shelf) -> None:
    assert record.read(shelf) == []
    record.begin(shelf, FIRST)
    done = replace(FIRST, backup="/b/emo.tar.age", outcome=record.DONE)
    record.change(shelf, done)
    assert record.read(shelf) == [done]
    assert record.place(shelf).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in shelf.folder.iterdir()] == [".emo-prod-deployments.json"]


@pytest.mark.parametrize("outcome", [record.BEGUN, record.STOPPED])
def test_after_one_that_stopped_the_way_back_is_still_its_own(shelf: Shelf, outcome: str) -> None:
    stopped = replace(FIRST, backup="/b/whole.tar.age", outcome=outcome, step="migrations")
    record.begin(shelf, FIRST)
    record.change(shelf, stopped)
    again = Deployment(
        started_at=AT, code="1.1.1", code_before="", before={"default": ("orders.0001_initial", "orders.0002_half")}
    )
    begun = record.begin(shelf, again)
    assert (begun.before, begun.code_before, begun.backup) == (FIRST.before, "1.0", "/b/whole.tar.age")
    assert record.read(shelf) == [stopped, begun]


@pytest.mark.parametrize("outcome", [record.DONE, record.TAKEN_BACK])
def test_after_one_that_ended_the_way_back_is_the_new_ones(shelf: Shelf, outcome: str) -> None:
    record.begin(shelf, FIRST)
    record.change(shelf, replace(FIRST, outcome=outcome))
    second = replace(FIRST, code="1.2", before={"default": ("orders.0002_more",)})
    assert record.begin(shelf, second) == second


def test_old_ones_are_forgotten_and_the_last_is_kept(shelf: Shelf) -> None:
    for number in range(record.KEPT + 3):
        record.begin(shelf, replace(FIRST, code=str(number), outcome=record.DONE))
    assert [each.code for each in record.read(shelf)] == [str(number) for number in range(3, record.KEPT + 3)]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"deployments": [{"code": "1"}]}', '{"deployments": [{"started_at": "2026-03-02T09:30:00"}]}']
)
def test_file_that_is_no_record_is_refused_by_name(shelf: Shelf, text: str) -> None:
    shelf.folder.mkdir()
    record.place(shelf).write_text(text)
    with pytest.raises(NoRecord, match=r"deployments\.json: is not what deploy writes"):
        record.last(shelf)
    with pytest.raises(NoRecord):
        record.begin(shelf, FIRST)
    assert record.place(shelf).read_text() == text


def test_second_deployment_of_a_host_is_refused_while_one_runs(shelf: Shelf) -> None:
    with (
        record.locked(shelf),
        pytest.raises(NoRecord, match="another deployment is running on this host"),
        record.locked(shelf),
    ):
        pass
    with record.locked(shelf):
        pass
