"""Retention and compression as the server does them under TimescaleDB's Community licence: chunks really go and shrink.

The desk is run as its operator runs it. What the server would do by itself within hours is done by `run_job`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.community_server import community_timescaledb
from tests.desk import manage
from tests.run import in_ci
from tests.servers import Unavailable

pytestmark = [pytest.mark.cluster, pytest.mark.node]

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SYMBOLS = ("SPY", "QQQ", "IWM")
# Retention off and compression at two weeks, which leaves three chunks or so as they are.
COMPRESS = {"EMO_RETAIN_MARKET_EVENTS_DAYS": "off", "EMO_COMPRESS_AFTER_DAYS": "14"}
READS = """
import json
from datetime import datetime, timedelta
from monitoring.models import MarketEvent
now = datetime.fromisoformat("{now}")
day = timedelta(days=1)
symbols = ["SPY", "QQQ", "IWM", "none"]
prices = [MarketEvent.objects.latest_prices(symbols, at=now - age * day) for age in (0, 20, 50, 90)]
bars = [MarketEvent.objects.ohlcv("QQQ", now - 100 * day, now, bucket * day) for bucket in (1, 7)]
print(json.dumps([prices, bars], default=str))
"""


def event(day: int, place: int, **more: Any) -> dict[str, Any]:
    """One of the six trades of a day, the newest of them on the hour of the tests' start."""
    return {
        "symbol": SYMBOLS[place % 3],
        "event_type": "trade",
        "timestamp": (NOW - day * DAY - place * HOUR).isoformat(),
        "price": f"{400 + day + place / 8:.3f}",
        "volume": str(10 + place),
        "source": "test",
        **more,
    }


EVENTS = [event(day, place) for day in range(100) for place in range(6)]


@dataclass(frozen=True)
class Chunk:
    end: datetime
    compressed: bool


@dataclass(frozen=True)
class Desk:
    """A migrated desk. Connections come and go, since the server takes one at a time."""

    url: str
    folder: Path

    def run(self, *arguments: str, status: int | None = 0, **settings: str) -> str:
        """Standard output, or the error where one is expected; None expects nothing."""
        own = {"EMO_ENV": "dev", "EMO_DB_URL": self.url, "EMO_DB_POOL_SIZE": "1", "EMO_DB_POOL_MIN": "0"}
        ran = manage(*arguments, environment={**own, **settings})
        assert status in (ran.status, None), f"{ran.out}\n{ran.err}"
        return ran.err if status else ran.out

    def ingest(self, events: list[dict[str, Any]], *arguments: str, status: int = 0) -> str:
        file = self.folder / "events.jsonl"
        file.write_text("".join(json.dumps(each) + "\n" for each in events))
        return self.run("ingest_events", str(file), *arguments, status=status)

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        """What the last one answers."""
        with psycopg.connect(self.url, autocommit=True) as server:
            for statement in statements:
                cursor = server.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> list[tuple[Any, ...]]:
        """Every event, whole, time first."""
        return self.ask(
            "SELECT timestamp, id, symbol, event_type, price, volume, source, level, metadata::text"
            " FROM market_events ORDER BY timestamp, id"
        )

    def chunks(self) -> list[Chunk]:
        found = self.ask(
            "SELECT range_end, is_compressed FROM timescaledb_information.chunks"
            " WHERE hypertable_name = 'market_events' ORDER BY range_end"
        )
        return [Chunk(*each) for each in found]

    def half_compressed(self) -> int:
        """Chunks that hold rows beside the compressed ones."""
        ((count,),) = self.ask("SELECT count(*) FROM _timescaledb_catalog.chunk WHERE status & 8 > 0")
        return int(count)

    def policies(self) -> dict[tuple[str, str], tuple[int, str]]:
        """Number and period of the server's jobs, by table and kind."""
        found = self.ask(
            "SELECT hypertable_name, proc_name, job_id, coalesce(config ->> 'drop_after', config ->> 'compress_after')"
            " FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL"
        )
        return {(table, kind): (number, period) for table, kind, number, period in found}

    def periods(self, table: str = "market_events") -> dict[str, str]:
        return {kind: period for (each, kind), (_, period) in self.policies().items() if each == table}

    def runs(self) -> list[tuple[Any, ...]]:
        """The records of retention over the events, oldest first."""
        return self.ask(
            "SELECT cutoff, rows, chunks, way, failure, finished_at IS NOT NULL FROM retention_runs"
            " WHERE table_name = 'market_events' ORDER BY id"
        )

    def compress(self) -> None:
        """By the policy, as the server would within the next half a day."""
        number, _ = self.policies()["market_events", "policy_compression"]
        self.ask(f"CALL run_job({number})")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    try:
        with community_timescaledb() as url:
            desk = Desk(url, tmp_path_factory.mktemp("community"))
            desk.run("migrate", "--verbosity", "0")
            assert "600 rows, 600 new" in desk.ingest(EVENTS)
            desk.ask("CREATE TABLE kept AS SELECT * FROM market_events")
            yield desk
    except Unavailable as error:
        if in_ci():
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def desk(migrated: Desk) -> Desk:
    """A hundred days of events in chunks of a week, and nothing that the server does by itself."""
    migrated.ask("TRUNCATE market_events, system_health, retention_runs")
    for table in ("market_events", "system_health"):
        migrated.ask(
            f"SELECT remove_retention_policy('{table}', if_exists => true)",
            f"SELECT remove_compression_policy('{table}', if_exists => true)",
            f"ALTER TABLE {table} SET (timescaledb.compress = false)",
            f"SELECT set_chunk_time_interval('{table}', interval '7 days')",
        )
    migrated.ask("INSERT INTO market_events SELECT * FROM kept")
    assert migrated.policies() == {}
    assert len(migrated.chunks()) >= 15
    return migrated


def test_whole_chunks_older_than_what_is_kept_go_and_no_row_that_is_newer(desk: Desk) -> None:
    rows, chunks = desk.rows(), desk.chunks()
    assert len(rows) == 600
    said = desk.run("apply_retention", "--dry-run")
    assert "market_events: retention policy: none -> 30 days (would change)" in said
    assert (desk.rows(), desk.chunks(), desk.policies(), desk.runs()) == (rows, chunks, {}, [])

    assert "market_events: retention policy: none -> 30 days\n" in desk.run("apply_retention", "--yes")
    assert desk.periods() == {"policy_retention": "30 days"}
    assert desk.periods("system_health") == {"policy_retention": "7 days"}
    [(cutoff, gone, dropped, *outcome)] = desk.runs()
    assert outcome == ["policy", "", True]
    assert NOW - 30 * DAY <= cutoff < NOW - 29 * DAY
    old = [chunk for chunk in chunks if chunk.end <= cutoff]
    edge = old[-1].end
    assert cutoff - 7 * DAY < edge
    assert desk.chunks() == chunks[len(old) :]
    left = desk.rows()
    assert left == [row for row in rows if row[0] >= edge]
    assert (gone, dropped) == (600 - len(left), len(old))
    assert gone >= 6 * 60

    policies, chunks = desk.policies(), desk.chunks()
    desk.run("apply_retention", "--yes")
    assert (desk.rows(), desk.chunks(), desk.policies()) == (left, chunks, policies)
    assert desk.runs()[1][1:] == (0, 0, "policy", "", True)


def test_the_policy_follows_its_setting_and_is_gone_with_it(desk: Desk) -> None:
    desk.run("apply_retention", EMO_RETAIN_MARKET_EVENTS_DAYS="60")
    assert desk.periods() == {"policy_retention": "60 days"}
    after_60 = desk.rows()
    assert after_60[0][0] < NOW - 60 * DAY + 7 * DAY

    said = desk.run("apply_retention", EMO_RETAIN_MARKET_EVENTS_DAYS="30")
    assert "market_events: retention policy: 60 days -> 30 days\n" in said
    assert desk.periods() == {"policy_retention": "30 days"}
    after_30 = desk.rows()
    assert 0 < len(after_30) < len(after_60) < 600

    said = desk.run("apply_retention", EMO_RETAIN_MARKET_EVENTS_DAYS="off", EMO_CHUNK_DAYS="3")
    assert "market_events: retention policy: 30 days -> none\n" in said
    assert "market_events: kept for ever.\n" in said
    assert desk.periods() == {}
    assert desk.periods("system_health") == {"policy_retention": "7 days"}
    assert desk.rows() == after_30
    assert desk.ask(
        "SELECT time_interval FROM timescaledb_information.dimensions WHERE hypertable_name = 'market_events'"
    ) == [(3 * DAY,)]
    # The record names what went, and there is none of a table that is kept for ever.
    assert [rows for _, rows, *_ in desk.runs()] == [600 - len(after_60), len(after_60) - len(after_30)]


def test_old_chunks_are_compressed_read_the_same_and_are_dropped_like_others(desk: Desk) -> None:
    rows, chunks = desk.rows(), desk.chunks()
    read = READS.format(now=NOW.isoformat())
    answers = desk.run("shell", "--no-imports", "--command", read)
    assert json.loads(answers)[0][0].keys() == set(SYMBOLS)

    desk.run("apply_retention", **COMPRESS)
    assert desk.periods() == {"policy_compression": "14 days"}
    assert desk.ask(
        "SELECT segmentby, orderby FROM timescaledb_information.hypertable_compression_settings"
        " WHERE hypertable = 'market_events'::regclass"
    ) == [("symbol", '"timestamp" DESC,id DESC')]
    assert desk.chunks() == chunks
    desk.compress()
    moment = datetime.now(UTC)
    compressed = [Chunk(chunk.end, chunk.end <= moment - 14 * DAY) for chunk in chunks]
    assert desk.chunks() == compressed
    assert sum(chunk.compressed for chunk in compressed) >= 10
    assert desk.rows() == rows
    assert desk.run("shell", "--no-imports", "--command", read) == answers

    desk.run("apply_retention", EMO_COMPRESS_AFTER_DAYS="14")
    assert desk.periods() == {"policy_compression": "14 days", "policy_retention": "30 days"}
    [(cutoff, gone, dropped, *_)] = desk.runs()
    left = [chunk for chunk in compressed if chunk.end > cutoff]
    assert desk.chunks() == left
    assert any(chunk.compressed for chunk in left)
    kept = [row for row in rows if row[0] >= left[0].end - 7 * DAY]
    assert desk.rows() == kept
    assert (gone, dropped) == (600 - len(kept), len(compressed) - len(left))

    said = desk.run("apply_retention", EMO_COMPRESS_AFTER_DAYS="off")
    assert "market_events: compression policy: 14 days -> none\n" in said
    assert desk.periods() == {"policy_retention": "30 days"}
    assert desk.chunks() == left


def test_files_go_on_coming_into_what_is_compressed(desk: Desk) -> None:
    desk.run("apply_retention", **COMPRESS)
    desk.compress()
    late = [event(day, place, source="late") for day in range(60, 66) for place in range(6)]
    assert "636 rows, 36 new, 600 on record already" in desk.ingest([*EVENTS, *late])
    rows = desk.rows()
    assert len(rows) == 636
    assert sum(row[6] == "late" for row in rows) == 36

    # Half of them: more than the server takes out of compressed chunks in one transaction by default.
    corrected = [
        {
            "id": str(identity),
            "timestamp": at.isoformat(),
            "symbol": symbol,
            "event_type": kind,
            "price": "1.5",
            "volume": str(volume),
            "source": source,
        }
        for at, identity, symbol, kind, _, volume, source, *_ in rows[:318]
    ]
    said = desk.ingest(corrected, "--on-conflict", "error", status=2)
    assert "is on record already" in said
    assert desk.rows() == rows
    assert "318 rows, 0 new, 318 replaced" in desk.ingest(corrected, "--on-conflict", "update")
    prices = [row[4] for row in desk.rows()]
    assert [float(price) for price in prices[:318]] == [1.5] * 318
    assert prices[318:] == [row[4] for row in rows[318:]]
    # What came in late and what was replaced is compressed with the rest the next time.
    rows = desk.rows()
    assert desk.half_compressed() > 0
    desk.compress()
    assert desk.half_compressed() == 0
    assert desk.rows() == rows


def test_health_shows_chunks_sizes_ages_and_the_policy_in_force(desk: Desk) -> None:
    def series() -> dict[str, Any]:
        file = desk.folder / "report.json"
        options = ("--format", "json", "--output", str(file), "--timeout", "60")
        desk.run("export_report", "institutional", *options, EMO_COMPRESS_AFTER_DAYS="14")
        return {each["table"]: each for each in json.loads(file.read_text())["time_series"]}

    before = series()["market_events"]
    assert before["policy"].startswith("kept 30 days by the settings, none by the server's policy: run manage.py")
    assert (before["chunks"], before["compression"]) == (len(desk.chunks()), "off")
    desk.run("apply_retention", EMO_COMPRESS_AFTER_DAYS="14")
    desk.compress()
    desk.ask("ANALYZE market_events")
    after = series()["market_events"]
    rows = desk.rows()
    assert after["kind"] == "hypertable (timescale licence)"
    assert (after["chunks"], after["chunk_interval_days"]) == (len(desk.chunks()), 7)
    assert 0 < after["size_bytes"] < before["size_bytes"]
    assert after["rows_about"] == len(rows)
    assert [after["oldest"], after["newest"]] == [rows[0][0].isoformat(), rows[-1][0].isoformat()]
    assert (after["policy"], after["compression"]) == ("kept 30 days, by the server's policy", "after 14 days")
    assert after["last_run_rows"] == 600 - len(rows)

    # Its exit status is about the disk of this machine too.
    said = desk.run("healthcheck", "--json", "--timeout", "60", status=None)
    found = {each["name"]: each for each in json.loads(said)["components"]}
    assert found["hypertables:default"]["status"] == "healthy"
    assert "timescale)" in found["hypertables:default"]["message"]
