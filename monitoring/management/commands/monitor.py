"""manage.py monitor: the watch over the desk, round after round, in a process of its own."""

from __future__ import annotations

import logging
import signal
import threading
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from emo_site.db.aliases import database_of
from emo_site.db.lease import Lease
from emo_site.db.pooler import NoSession
from emo_site.metrics import publishing
from monitoring import health
from monitoring.alert_teller import Teller
from monitoring.spool import Spool
from monitoring.watch import DEPUTISES, WAITS, Seen, Watch

logger = logging.getLogger(__name__)

EXIT_NOT_CHECKED = 2
# Of the time between two rounds; the rest is for storing what was found.
PROBING_SHARE = 0.7
LONGEST_PROBING = 10.0
# At the end, for messages that are on their way.
SETTLING_SECONDS = 5.0


class Command(BaseCommand):
    help = (
        "Runs every probe each --interval seconds, records what they find, keeps incidents and tells of them. Of"
        " several workers one acts, the others stand by. While the database is down it goes on from memory, and stores"
        " what it found afterwards. SIGTERM ends it after the round at hand."
    )
    # It must run, and say what is wrong, while databases are down.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--interval", type=float, metavar="S", help="seconds between rounds (default: EMO_MONITOR_SECONDS)"
        )
        parser.add_argument("--once", action="store_true", help="one round only")
        parser.add_argument(
            "--spool",
            type=Path,
            metavar="FILE",
            default=settings.EMO_DATA_DIR / "health-spool.jsonl",
            help="what is kept here while the database is down (default: %(default)s); one for each machine",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        interval = settings.EMO_MONITOR_SECONDS if options["interval"] is None else options["interval"]
        if not 0.5 <= interval <= 3600:
            wrong = f"--interval={interval:g}: must be from 0.5 to 3600 seconds"
            raise CommandError(wrong, returncode=EXIT_NOT_CHECKED)
        try:
            probes = health.configured()
            options["spool"].parent.mkdir(parents=True, exist_ok=True)
        except (ImportError, TypeError, ValueError, OSError) as error:
            raise CommandError(f"can't watch: {error}", returncode=EXIT_NOT_CHECKED) from error
        teller = Teller()
        watch = Watch(
            probes=probes,
            lease=Lease(database_of("monitoring"), "monitor"),
            spool=Spool(options["spool"]),
            teller=teller,
        )
        timeout = min(LONGEST_PROBING, interval * PROBING_SHARE)
        try:
            if options["once"]:
                self._say(watch.round(timeout=timeout, now=datetime.now(UTC)), None)
            else:
                self._go_on(watch, interval, timeout)
        finally:
            teller.settle(timeout=SETTLING_SECONDS)
            watch.end()

    def _go_on(self, watch: Watch, interval: float, timeout: float) -> None:
        ended = threading.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda *_: ended.set())
        # What it logs is to be seen before it ends.
        publishing.start()
        before: Seen | None = None
        due = time.monotonic()
        while not ended.is_set():
            try:
                seen = watch.round(timeout=timeout, now=datetime.now(UTC))
            except NoSession:
                # No round will fare better.
                raise
            except Exception:  # the program's edge: a watch that ends is the one thing that nobody is told of
                logger.exception("a round of the watch failed")
            else:
                self._say(seen, before)
                before = seen
            # Rounds that were missed are not made up for.
            due = max(due + interval, time.monotonic())
            ended.wait(due - time.monotonic())

    def _say(self, seen: Seen, before: Seen | None) -> None:
        """Changes, one a line: whoever starts it by hand sees the first round whole."""
        stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        if before is None or seen.role != before.role:
            self.stdout.write(f"{stamp} {_ROLES[seen.role]}")
        if before is None and seen.results:
            score = health.system_score(seen.results)
            shown = "n/a" if score is None else f"{score} of 100"
            self.stdout.write(f"{stamp} {health.worst_status(seen.results)}, score {shown}, {len(seen.results)} probes")
        for change in seen.changes:
            self.stdout.write(f"{stamp} {change.component}: {change.before} -> {change.after}: {change.message}")
        if bool(seen.spooled) != bool(before and before.spooled):
            self.stdout.write(f"{stamp} {'health is spooled' if seen.spooled else 'health is stored again'}")
        self.stdout.flush()


_ROLES = {
    WAITS: "another worker watches; this one stands by",
    DEPUTISES: "no database answers, and maybe no other worker: this one tells what it finds",
    "acts": "this worker watches",
}
