"""Retention and compression by the server itself, which only TimescaleDB's Community licence has.

Debian's servers have the Apache licence. So what is decided is tried against a stand-in that keeps policies as the
Community licence does, and the statements against a real server, which knows them all and refuses them for its licence
alone: a misspelt function or argument would be refused as unknown. What they do is tried in test_community_licence.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, NotSupportedError, connection, transaction

from emo_site.db.timescale import chunks
from emo_site.db.timescale.capabilities import Capabilities
from emo_site.db.timescale.chunks import COMPRESSION, RETENTION, Policy
from monitoring import retention, time_series
from monitoring.choices import RetentionWay
from monitoring.models import MarketEvent, RetentionRun
from tests.conftest import BACKEND

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
LICENSED = Capabilities(available="2.23.0", installed="2.23.0", preloaded=True, licence="timescale")


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that differs from the server's by five minutes is doubted, and the whole suite takes longer.
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC).replace(microsecond=0))


@dataclass
class StandIn:
    """market_events as a hypertable with a chunk a week, and the jobs that the server would run."""

    interval: timedelta = 7 * DAY
    policies: dict[str, timedelta] = field(default_factory=dict)
    compressible: bool = False
    did: list[str] = field(default_factory=list)

    def chunk_interval(self, connection: Any, table: str) -> timedelta:
        return self.interval

    def policy(self, connection: Any, table: str, kind: str) -> Policy | None:
        if kind not in self.policies:
            return None
        number = [RETENTION, COMPRESSION].index(kind) + 1000
        return Policy(job_id=number, period=self.policies[kind], last_run=NOW, last_status="Success", next_run=None)

    def set_policy(self, connection: Any, table: str, kind: str, period: timedelta | None) -> None:
        assert connection.in_atomic_block
        if kind == COMPRESSION and period is not None:
            assert self.compressible, "the server refuses a policy for a table that is not compressible"
        self.did.append(f"{kind}: {period and period.days}")
        self.policies.pop(kind, None)
        if period is not None:
            self.policies[kind] = period

    def is_compressible(self, connection: Any, table: str) -> bool:
        return self.compressible

    def make_compressible(self, connection: Any, table: str, *, segment_by: str, time_column: str) -> None:
        self.did.append(f"compressible by {segment_by}, {time_column}")
        self.compressible = True

    def _ends(self) -> list[datetime]:
        starts = {(NOW - at) // self.interval for at in MarketEvent.objects.values_list("timestamp", flat=True)}
        return [NOW - number * self.interval for number in starts]

    def count_chunks(self, connection: Any, table: str) -> int:
        return len(self._ends())

    def chunks_before(self, connection: Any, table: str, cutoff: datetime) -> tuple[int, datetime | None]:
        ends = [end for end in self._ends() if end <= cutoff]
        return len(ends), max(ends, default=None)

    def run_job(self, connection: Any, job_id: int) -> None:
        self.did.append(f"job {job_id}")
        _, end = self.chunks_before(connection, "market_events", NOW - self.policies[RETENTION])
        if end:
            MarketEvent.objects.filter(timestamp__lte=end).delete()


@pytest.fixture
def server(db: None, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A row a day for 60 days, one second after midnight so that no row is on the edge of a chunk."""
    MarketEvent.objects.bulk_create(
        MarketEvent(event_type="trade", timestamp=NOW - number * DAY - timedelta(seconds=1)) for number in range(60)
    )
    made = StandIn()
    for name in (name for name in vars(StandIn) if not name.startswith("_") and hasattr(chunks, name)):
        monkeypatch.setattr(chunks, name, getattr(made, name))
    monkeypatch.setattr(chunks, "size_in_bytes", lambda connection, table: 8192)
    for module in (retention, time_series):
        monkeypatch.setattr(module, "existing", lambda connection: {"market_events"})
        monkeypatch.setattr(module, "look_up", lambda connection: LICENSED)
    return made


def plan() -> retention.Plan:
    return retention.plan("market_events", now=NOW)


def applied() -> RetentionRun:
    run = retention.apply(plan(), confirmed=False)
    assert run is not None
    return run


def test_the_policy_is_made_and_run_and_what_went_is_recorded(server: StandIn) -> None:
    planned = plan()
    # Weeks that end 35, 42, 49 and 56 days ago; the one that the limit lies in stays.
    assert (planned.way, planned.chunks, planned.rows) == (RetentionWay.POLICY, 4, 25)
    assert [change.text for change in planned.changes] == ["retention policy: none -> 30 days"]
    run = applied()
    assert server.did == ["policy_retention: 30", "job 1000"]
    assert (run.way, run.chunks, run.rows, run.failure) == (RetentionWay.POLICY, 4, 25, "")
    assert MarketEvent.objects.count() == 35
    again = applied()
    assert (again.chunks, again.rows) == (0, 0)
    assert server.did[2:] == ["job 1000"]


def test_the_policy_follows_its_setting_and_goes_with_it(server: StandIn, settings: Any) -> None:
    applied()
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS = 90
    assert [change.text for change in plan().changes] == ["retention policy: 30 days -> 90 days"]
    applied()
    settings.EMO_RETAIN_MARKET_EVENTS_DAYS = None
    assert retention.apply(plan(), confirmed=False) is None
    assert server.did == [
        "policy_retention: 30",
        "job 1000",
        "policy_retention: 90",
        "job 1000",
        "policy_retention: None",
    ]
    assert plan().changes == ()


def test_compression_is_turned_on_before_its_policy_and_off_again(server: StandIn, settings: Any) -> None:
    applied()
    settings.EMO_COMPRESS_AFTER_DAYS = 14
    planned = plan()
    assert [change.text for change in planned.changes] == [
        "compression: by symbol, newest first",
        "compression policy: none -> 14 days",
    ]
    assert planned.warnings == ()
    applied()
    assert server.did[2:4] == ["compressible by symbol, timestamp", "policy_compression: 14"]
    settings.EMO_COMPRESS_AFTER_DAYS = None
    assert [change.text for change in plan().changes] == ["compression policy: 14 days -> none"]


def test_a_policy_that_is_gone_when_it_should_run_is_an_error_on_record(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "set_policy", lambda *arguments: None)
    with pytest.raises(DatabaseError, match="the retention policy that was made is gone"):
        applied()
    assert RetentionRun.objects.get().failure == "market_events: the retention policy that was made is gone"


def test_the_health_page_compares_the_policy_with_the_settings(server: StandIn, settings: Any) -> None:
    def looked() -> time_series.TimeSeries:
        return time_series.look(now=NOW)[0]

    assert looked().policy == "kept 30 days by the settings, none by the server's policy: run manage.py apply_retention"
    assert looked().compression == "off"
    settings.EMO_COMPRESS_AFTER_DAYS = 14
    applied()
    assert looked().kind == "hypertable (timescale licence)"
    assert looked().policy == f"kept 30 days, by the server's policy, last run {NOW:%Y-%m-%d %H:%M:%S} UTC: success"
    assert looked().compression == "after 14 days"
    # The server runs its policy by itself: the command is not missed.
    RetentionRun.objects.update(started_at=NOW - 9 * DAY)
    assert looked().last_run_tone == "good"


# ---- the statements, on a real server ----------------------------------------------------------------------------


@pytest.fixture
def sent(db: None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[Any]]]:
    """What would be sent to the server, in order."""
    statements: list[tuple[str, Sequence[Any]]] = []
    monkeypatch.setattr(chunks, "_rows", lambda connection, sql, parameters: statements.append((sql, parameters)))
    return statements


@pytest.mark.timescaledb
def test_the_server_knows_every_native_statement_and_refuses_only_for_its_licence(
    sent: list[tuple[str, Sequence[Any]]],
) -> None:
    for kind in (RETENTION, COMPRESSION):
        chunks.set_policy(connection, "market_events", kind, 30 * DAY)
    chunks.make_compressible(connection, "market_events", segment_by="symbol", time_column="timestamp")
    assert len(sent) == 5
    for sql, parameters in sent:
        with (
            pytest.raises(NotSupportedError, match='not supported under the current "apache" license'),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql, parameters)


@pytest.mark.timescaledb
def test_the_server_answers_what_is_asked_about_policies(db: None) -> None:
    assert BACKEND == "timescaledb"
    assert chunks.policy(connection, "market_events", RETENTION) is None
    assert chunks.policy(connection, "market_events", COMPRESSION) is None
    assert chunks.is_compressible(connection, "market_events") is False
