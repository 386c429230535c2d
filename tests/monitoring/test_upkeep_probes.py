"""Dead rows, transaction ids, disks, slots and damaged blocks are told with figures, and with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from freezegun import freeze_time

from emo_site.db import storage, vacuum
from emo_site.db.storage import Disk, Slot, Storage
from emo_site.db.vacuum import Dead, Upkeep
from monitoring import upkeep_probes
from monitoring.health import Finding
from monitoring.upkeep_probes import StorageProbe, VacuumProbe
from tests.conftest import BACKEND
from tests.monitoring.test_lock_probes import session

NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
LOST = OperationalError("connection to server at 127.0.0.1, port 5 failed: refused\nIs the server running?")
GONE = ("unknown", "Can't be asked: connection to server at 127.0.0.1, port 5 failed: refused")
FEW = Dead(table="orders", live=90_000, dead=10_000, vacuumed_at=NOW - timedelta(hours=3), switched_off=False)
MANY = replace(FEW, live=60_000, dead=40_000)
FINE = Upkeep(autovacuum=True, tables=(FEW,), oldest_database="emo", oldest_age=2**31 // 100)


def said(finding: Finding) -> tuple[str, str]:
    return str(finding.status), finding.message


def finds(monkeypatch: pytest.MonkeyPatch, module: Any, answer: Any) -> None:
    @contextmanager
    def nothing(alias: str, seconds: float) -> Iterator[SimpleNamespace]:
        if isinstance(answer, Exception):
            raise answer
        yield SimpleNamespace(alias=alias)

    monkeypatch.setattr(upkeep_probes, "asked_within", nothing)
    monkeypatch.setattr(module, "look_at", lambda connection: answer)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            FINE,
            (
                "healthy",
                "most dead rows in orders (10,000 of 100,000 rows dead, 10 %); 1.0 % of transaction ids used",
            ),
        ),
        (replace(FINE, tables=()), ("healthy", "no dead rows; 1.0 % of transaction ids used")),
        (
            replace(FINE, tables=(MANY,)),
            ("warning", "orders: 40,000 of 100,000 rows dead, 40 %, vacuumed 3 h ago"),
        ),
        (
            replace(FINE, tables=(replace(MANY, live=10_000, vacuumed_at=None),)),
            ("error", "orders: 40,000 of 50,000 rows dead, 80 %, never vacuumed"),
        ),
        (
            replace(FINE, tables=(replace(MANY, switched_off=True),)),
            ("warning", "orders: 40,000 of 100,000 rows dead, 40 %, autovacuum is switched off for it"),
        ),
        # A small table is nearly all dead now and then, and nobody minds.
        (
            replace(FINE, tables=(replace(FEW, live=0, dead=9_999),)),
            (
                "healthy",
                "most dead rows in orders (9,999 of 9,999 rows dead, 100 %); 1.0 % of transaction ids used",
            ),
        ),
        (replace(FINE, autovacuum=False), ("warning", "autovacuum is switched off")),
        (
            replace(FINE, oldest_age=2**31 * 3 // 10),
            ("warning", "30.0 % of the transaction ids are used up in emo (limit 25 %)"),
        ),
        (
            replace(FINE, oldest_age=2**31 * 3 // 4, autovacuum=False),
            (
                "error",
                "75.0 % of the transaction ids are used up in emo (limit 25 %); autovacuum is switched off",
            ),
        ),
        (LOST, GONE),
    ],
)
def test_vacuum(monkeypatch: pytest.MonkeyPatch, found: Any, expected: tuple[str, str]) -> None:
    finds(monkeypatch, vacuum, found)
    with freeze_time(NOW):
        finding = VacuumProbe(alias="default").run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


SOUND = Storage(size=1_500_000, damaged=0, disk=Disk(free=50 * 10**9, total=100 * 10**9), slots=())
SLOT = Slot(name="standby", active=True, state="reserved", held=2**20)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (SOUND, ("healthy", "1.5 MB, 50.0 % free (50 GB), no damaged blocks")),
        (
            replace(SOUND, disk=None, damaged=None),
            ("healthy", "1.5 MB, free space not known, no checksums kept"),
        ),
        (
            replace(SOUND, slots=(SLOT,)),
            ("healthy", "1.5 MB, 50.0 % free (50 GB), 1 replication slots, no damaged blocks"),
        ),
        (
            replace(SOUND, disk=Disk(free=14 * 10**9, total=100 * 10**9)),
            ("warning", "the server's disk has 14.0 % free (14 GB) (limit 15 %)"),
        ),
        (
            replace(SOUND, disk=Disk(free=4 * 10**9, total=100 * 10**9)),
            ("error", "the server's disk has 4.0 % free (4 GB) (limit 15 %)"),
        ),
        (
            replace(SOUND, slots=(replace(SLOT, held=2**31, active=False),)),
            ("warning", "replication slot standby holds 2.15 GB of WAL back, and nobody reads from it"),
        ),
        (
            replace(SOUND, slots=(replace(SLOT, held=2**34),)),
            ("error", "replication slot standby holds 17.2 GB of WAL back"),
        ),
        (
            replace(SOUND, slots=(replace(SLOT, state="lost", held=0),)),
            ("error", "replication slot standby has lost WAL that it needs"),
        ),
        (replace(SOUND, damaged=2), ("error", "2 blocks failed their checksum")),
        (LOST, GONE),
    ],
)
def test_storage(monkeypatch: pytest.MonkeyPatch, found: Any, expected: tuple[str, str]) -> None:
    finds(monkeypatch, storage, found)
    finding = StorageProbe(alias="default").run()
    assert said(finding) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


def test_the_worst_comes_first_and_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    low = Disk(free=14 * 10**9, total=100 * 10**9)
    finds(monkeypatch, storage, replace(SOUND, disk=low, slots=(replace(SLOT, held=2**34),)))
    assert said(StorageProbe(alias="default").run()) == (
        "error",
        "replication slot standby holds 17.2 GB of WAL back; the server's disk has 14.0 % free (14 GB) (limit 15 %)",
    )


@contextmanager
def _table_of(rows: int) -> Iterator[psycopg.Connection[Any]]:
    """A table that vacuum leaves alone, whatever the server's settings."""
    with session("upkeep") as other:
        other.autocommit = True
        other.execute("CREATE TABLE upkeep_probe (n int) WITH (autovacuum_enabled = false)")
        try:
            other.execute("INSERT INTO upkeep_probe SELECT generate_series(1, %s)", [rows])
            yield other
        finally:
            other.execute("DROP TABLE upkeep_probe")


@pytest.mark.postgresql
@pytest.mark.django_db
def test_real_dead_rows_are_counted_and_gone_after_vacuum() -> None:
    probe = VacuumProbe(alias="default", dead_rows=500)
    with _table_of(1000) as other:
        other.execute("DELETE FROM upkeep_probe WHERE n > 200")
        other.execute("SELECT pg_stat_force_next_flush()")
        other.execute("SELECT 1")
        finding = probe.run()
        assert str(finding.status) == "error"
        assert "upkeep_probe: 800 of 1,000 rows dead, 80 %, autovacuum is switched off for it" in finding.message
        assert "Run VACUUM (ANALYZE) upkeep_probe" in finding.remedy
        other.execute("VACUUM (ANALYZE) upkeep_probe")
        other.execute("SELECT pg_stat_force_next_flush()")
        other.execute("SELECT 1")
        assert "upkeep_probe" not in probe.run().message


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_real_server_has_hardly_used_its_transaction_ids() -> None:
    finding = VacuumProbe(alias="default", dead_rows=10**9).run()
    assert str(finding.status) == "healthy", finding.message
    assert 0 <= finding.metrics["ids_percent"] < 1
    assert finding.metrics["autovacuum"] is True


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_real_slot_holds_wal_back_until_it_is_dropped() -> None:
    name = "upkeep_probe_slot"
    probe = StorageProbe(alias="default", warn_held_mib=0, warn_free_percent=0, error_free_percent=0)
    with session("slots") as other:
        other.autocommit = True
        other.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
        try:
            other.execute("SELECT pg_switch_wal()")
            other.execute("CREATE TABLE upkeep_probe_wal AS SELECT generate_series(1, 1000)")
            other.execute("DROP TABLE upkeep_probe_wal")
            finding = probe.run()
            assert str(finding.status) == "warning"
            assert f"replication slot {name} holds " in finding.message
            assert "of WAL back, and nobody reads from it" in finding.message
            assert f"pg_drop_replication_slot('{name}')" in finding.remedy
        finally:
            other.execute("SELECT pg_drop_replication_slot(%s)", [name])
    assert name not in probe.run().message


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_real_server_tells_its_size_and_its_disk() -> None:
    found = StorageProbe(alias="default", warn_free_percent=0, error_free_percent=0).run()
    assert str(found.status) == "healthy", found.message
    assert found.metrics["size_bytes"] > 5_000_000
    if BACKEND == "postgresql":
        # TimescaleDB's server lives in a root of its own: its folder is not there for us.
        assert 0 < found.metrics["free_bytes"] < found.metrics["total_bytes"]
