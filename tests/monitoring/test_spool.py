"""Health that could not be stored waits in a file: in order, bounded, and written back once."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError

from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.models import SystemHealth
from monitoring.spool import Spool

pytestmark = pytest.mark.django_db
NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)


def rows(name: str, *, at: datetime = NOW) -> list[SystemHealth]:
    finding = Finding(status=HealthStatus.ERROR, message="down\n— still", remedy="look", metrics={"n": 1.5})
    return health.rows_of([ProbeResult(name=name, critical=True, finding=finding, at=at, response_ms=1.25)])


def test_rows_come_back_as_they_were_in_order_and_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    assert not spool
    assert spool.write_back() == 0
    made = [row for number in range(5) for row in rows(f"c{number}", at=NOW + timedelta(seconds=number))]
    for row in made:
        spool.add([row])
    assert spool
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    kept = spool.path.read_bytes()
    assert spool.write_back() == 5
    assert not spool
    # The machine went down after the rows were stored and before the file was gone.
    spool.path.write_bytes(kept)
    assert spool.write_back() == 5
    names = [field.attname for field in SystemHealth._meta.concrete_fields]
    stored = list(SystemHealth.objects.order_by("timestamp").values_list(*names))
    assert stored == [tuple(getattr(row, name) for name in names) for row in made]


def test_file_stays_while_the_database_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    spool.add(rows("a"))
    before = spool.path.read_bytes()

    def refuse(rows: object) -> int:
        raise OperationalError("no")

    with monkeypatch.context() as patch:
        patch.setattr(health, "store", refuse)
        with pytest.raises(OperationalError):
            spool.write_back()
    assert spool.path.read_bytes() == before
    assert spool.write_back() == 1


def test_line_that_a_crash_cut_off_takes_no_other_with_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    spool.add(rows("first"))
    whole = spool.path.read_bytes()
    spool.path.write_bytes(whole + whole[: len(whole) // 2])
    spool.add(rows("last"))
    assert spool.write_back() == 2
    assert set(SystemHealth.objects.values_list("component_name", flat=True)) == {"first", "last"}
    assert "line 2, is no health record and is left out" in caplog.text


def test_full_file_loses_its_oldest_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = Spool(tmp_path / "one.jsonl")
    one.add(rows("x00"))
    size = one.path.stat().st_size
    spool = Spool(tmp_path / "spool.jsonl", most_bytes=10 * size)
    for number in range(11):
        spool.add(rows(f"x{number:02}", at=NOW + timedelta(seconds=number)))
    assert spool.path.stat().st_size <= 10 * size
    assert "its 5 oldest health records are lost" in caplog.text
    spool.write_back()
    assert set(SystemHealth.objects.values_list("component_name", flat=True)) == {f"x{n:02}" for n in range(5, 11)}


def test_file_is_of_one_process_at_a_time(tmp_path: Path) -> None:
    one, other = Spool(tmp_path / "spool.jsonl"), Spool(tmp_path / "spool.jsonl")
    assert one.claim()
    assert one.claim()
    assert not other.claim()
    one.let_go()
    assert other.claim()
    other.let_go()
