"""A desk with everything that belongs to it: two servers, web, watch, worker, feed, backups, and people to tell."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.failover_drill import desk as desks
from benchmarks.health_drill.watching import Page, Receivers
from emo_site.db.backup import keys
from tests import clusters
from tests.clusters import Cluster
from tests.desk import postgresql_programs
from tests.receivers import http_receiver, smtp_server
from tests.servers import Unavailable

SETTINGS = "benchmarks.health_drill.settings"
# Where that module looks for the folder of the small disk.
DATA_DIR_VARIABLE = "EMO_DRILL_DATA_DIR"
# Between two backups, each of which is proven.
BACKUP_SECONDS = 20.0
LEASE_SECONDS = 12
ARRANGED = """
from monitoring.models import AlertChannel, AlertRule
hook = AlertChannel.objects.create(name="drill", kind="webhook", url={url!r})
AlertRule.objects.get(name="Whatever is wrong").channels.add(hook)
"""


@dataclass(frozen=True)
class Incident:
    severity: str
    lasted: timedelta | None

    @property
    def ended(self) -> bool:
        return self.lasted is not None

    def __str__(self) -> str:
        return f"{self.severity} of {self.lasted.total_seconds():.1f} s" if self.lasted else f"{self.severity}, open"


@dataclass
class Desk:
    cluster: Cluster
    page: Page
    receivers: Receivers
    environment: Mapping[str, str]
    folder: Path
    log: Path
    _running: dict[str, subprocess.Popen[Any]] = field(default_factory=dict)
    _no_backups: threading.Event = field(default_factory=threading.Event)
    _backups: threading.Thread | None = None
    _rewritten: tuple[str, str] = ("", "")

    def start(self, interval: float) -> None:
        self.start_feed()
        self.start_worker()
        self.start_backups()
        self._start("watch", "manage.py", "monitor", f"--interval={interval:g}")

    def stop(self) -> None:
        self.end_backups()
        for name in list(self._running):
            self._end(name)

    def record_of(self, component: str, *, since: datetime) -> tuple[list[Incident], list[datetime]]:
        """The incidents that began, and the times at which its health was recorded."""
        incidents = self.asked(
            "SELECT severity, ended_at - began_at FROM incidents WHERE component_name = %s AND began_at >= %s",
            component,
            since,
        )
        records = self.asked(
            "SELECT timestamp FROM system_health WHERE component_name = %s AND timestamp >= %s ORDER BY 1",
            component,
            since,
        )
        return [Incident(severity, lasted) for severity, lasted in incidents], [at for (at,) in records]

    def is_recorded_well(self, component: str) -> bool:
        """By the watch, twice in a row, with no incident that is not over."""
        last = self.asked(
            "SELECT status FROM system_health WHERE component_name = %s ORDER BY timestamp DESC LIMIT 2", component
        )
        over = not self.asked("SELECT 1 FROM incidents WHERE component_name = %s AND ended_at IS NULL", component)
        return over and last == [("healthy",), ("healthy",)]

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def asked(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.cluster.primary.url, connect_timeout=5) as connection:
            return connection.execute(statement, parameters).fetchall()

    # ---- what is done to it, and undone ------------------------------------------------------------------------------

    def fill_disk(self) -> None:
        """Not one byte is left on the small disk of the desk's files."""
        with (self.folder / "data" / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"\0" * 4096)

    def free_disk(self) -> None:
        (self.folder / "data" / "ballast").unlink()

    def start_worker(self) -> None:
        self._start("worker", "manage.py", "worker", f"--lease={LEASE_SECONDS}")

    def kill_worker(self) -> None:
        self._end("worker")

    def start_feed(self) -> None:
        self._start("feed", "-m", "benchmarks.health_drill.feed")

    def end_feed(self) -> None:
        self._end("feed")

    def rewrite_event(self) -> None:
        """As a superuser can: past the triggers that make the table append-only."""
        [(event, reason)] = self.asked("SELECT id::text, reason FROM order_events ORDER BY at DESC, id DESC LIMIT 1")
        self._rewritten = (event, reason)
        self._rewrite(event, "somebody else's words")

    def restore_event(self) -> None:
        self._rewrite(*self._rewritten)

    def start_backups(self) -> None:
        self._no_backups.clear()
        self._backups = threading.Thread(target=self._back_up, daemon=True)
        self._backups.start()

    def end_backups(self) -> None:
        self._no_backups.set()
        if self._backups is not None:
            self._backups.join()

    # ---- how --------------------------------------------------------------------------------------------------------

    def _start(self, name: str, *arguments: str) -> None:
        with self.log.open("ab") as output:
            self._running[name] = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=desks.PROJECT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
            )

    def _end(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def _rewrite(self, event: str, reason: str) -> None:
        with psycopg.connect(self.cluster.primary.url, connect_timeout=5) as connection:
            connection.execute("SET session_replication_role = 'replica'")
            connection.execute("UPDATE order_events SET reason = %s WHERE id::text = %s", [reason, event])

    def _back_up(self) -> None:
        """The nightly job, every few seconds. While the primary is away it fails, as it would."""
        while True:
            with contextlib.suppress(desks.Broken):
                desks.manage("backup", env=self.environment)
                desks.manage("verify_backup", env=self.environment)
            if self._no_backups.wait(BACKUP_SECONDS):
                return


@contextlib.contextmanager
def drilled(interval: float) -> Iterator[Desk]:
    """Everything runs; gone afterwards. Raises Unavailable and desks.Broken."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emo-health-drill-")))
        _small_disk(stack, folder / "data")
        mailbox, hook = stack.enter_context(smtp_server()), stack.enter_context(http_receiver())
        cluster = stack.enter_context(clusters.replicated(synchronous=False))
        settings = {
            "DJANGO_SETTINGS_MODULE": SETTINGS,
            "EMO_DB_URL": cluster.primary.url,
            "EMO_REPLICA_URLS": cluster.standbys[0].url,
            DATA_DIR_VARIABLE: str(folder / "data"),
            "EMO_BACKUP_DIR": str(folder / "backups"),
            "EMO_BACKUP_KEY_FILE": str(folder / "key"),
            "EMO_BACKUP_SCRATCH_URL": cluster.primary.url,
            "EMO_PG_BIN": str(postgresql_programs()),
            "EMO_MONITOR_SECONDS": f"{interval:g}",
            "EMO_EMAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
            "EMO_ALERT_EMAILS": "drill@example.com",
        }
        keys.make(folder / "key", now=datetime.now(UTC))
        served = stack.enter_context(desks.served(settings))
        sessions = desks.sessions(served.environment, 1)
        desks.manage("load_demo", env=served.environment)
        desks.manage("shell", "-c", ARRANGED.format(url=hook.url), env=served.environment)
        desk = Desk(
            cluster=cluster,
            page=Page(served.port, sessions["auditor"][0]),
            receivers=Receivers(mailbox, hook),
            environment=served.environment,
            folder=folder,
            log=served.log,
        )
        stack.callback(desk.stop)
        desk.start(interval)
        yield desk


def _small_disk(stack: contextlib.ExitStack, folder: Path) -> None:
    """In memory, and seen by this process and its children only: __main__ runs in a mount name space of its own."""
    if os.geteuid() != 0:
        raise Unavailable("a disk of its own needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "none", str(folder)], check=True)
    stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
