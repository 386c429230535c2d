"""The watch over the desk: round after round of probes, recorded by one worker and told by it, whatever is down.

Of several workers, on whatever hosts, the one that holds the lease acts. While the database does not answer, that one
goes on from memory: what it finds is spooled, and stored once the database is back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from django.db import DatabaseError, connections

from emo_site.db import deadline
from emo_site.db.aliases import database_of
from monitoring import health, health_hours
from monitoring.alert_values import OpenIncident, Recovered
from monitoring.choices import HealthStatus
from monitoring.health import Probe, ProbeResult
from monitoring.incidents import Incidents, Round, StateChange
from monitoring.models import SystemHealth
from monitoring.spool import Spool

logger = logging.getLogger(__name__)

# The writing of one round; a database that hangs must not hold up the next one.
STORE_SECONDS = 5.0
# After so long without a database, a worker that waits for the lease tells what it finds: better told twice than by
# nobody, where the first one went down together with the database.
DEPUTISES_AFTER = timedelta(minutes=5)


class Lease(Protocol):
    def hold(self) -> bool | None:
        """True where it is ours, False where somebody else has it, None where that can't be told."""

    def let_go(self) -> None: ...


class Teller(Protocol):
    def round(self, *, open: Sequence[OpenIncident], recovered: Sequence[Recovered], now: datetime) -> None:
        """Tells whoever is to be told. Never raises."""

    def settle(self, *, timeout: float) -> None:
        """Waits so long for what is being sent, and writes down what came of it."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One round. `role`: whether this worker acted, and as what; `stored` counts rows written now, `spooled` those kept
    in the file of this machine.
    """

    role: str
    results: tuple[ProbeResult, ...] = ()
    changes: tuple[StateChange, ...] = ()
    stored: int = 0
    spooled: int = 0


ACTS, WAITS, DEPUTISES = "acts", "waits", "deputises"


class Watch:
    def __init__(self, *, probes: Sequence[Probe], lease: Lease, spool: Spool, teller: Teller) -> None:
        self._probes, self._lease, self._spool, self._teller = probes, lease, spool, teller
        self._incidents = Incidents()
        self._role = WAITS
        self._loaded = False
        self._no_answer_since: datetime | None = None
        # The file holds what this worker found in another's place.
        self._deputised = False
        # What only this worker knows of an outage is not with the one yet whose turn it is.
        self._owes = False

    def round(self, *, timeout: float, now: datetime) -> Seen:
        """Probes once and does what follows, where it is this worker's to do. Ends soon after `timeout` seconds."""
        try:
            return self._round(timeout, now)
        finally:
            # Whoever waits for the next round must not hold a connection of the pool meanwhile.
            connections.close_all()

    def end(self) -> None:
        """Another worker may go on at once."""
        self._lease.let_go()
        self._spool.let_go()

    def _round(self, timeout: float, now: datetime) -> Seen:
        self._take_role(now)
        if self._role == WAITS:
            self._hand_over(now)
            return Seen(role=WAITS)
        results = health.run(self._probes, timeout=timeout, now=now)
        if self._role == ACTS and not self._loaded:
            self._load()
        found = self._incidents.take(results, now=now)
        self._tell(found, now)
        stored, spooled = self._keep(results, now)
        return Seen(role=self._role, results=tuple(results), changes=found.changes, stored=stored, spooled=spooled)

    def _take_role(self, now: datetime) -> None:
        # Of several on one machine one has the file; the others could keep nothing.
        held = self._lease.hold() if self._spool.claim() else False
        if held is None:
            self._no_answer_since = self._no_answer_since or now
            if self._role == WAITS and now - self._no_answer_since >= DEPUTISES_AFTER:
                self._role, self._deputised = DEPUTISES, True
            return
        self._no_answer_since = None
        if held and self._role != ACTS:
            # Another worker may have written incidents down meanwhile.
            self._loaded = self._owes = False
        if not held and self._role != WAITS:
            self._owes = not self._deputised
            if self._deputised:
                # It was found beside the one whose turn it was.
                self._spool.clear()
                self._incidents = Incidents()
        self._role, self._deputised = (ACTS if held else WAITS), False

    def _write_back(self, now: datetime) -> int:
        """The hours of what is stored late were summed up without it, maybe."""
        since = self._spool.oldest()
        stored = self._spool.write_back()
        if since is not None:
            health_hours.roll_up(now=now, since=since)
        return stored

    def _hand_over(self, now: datetime) -> None:
        """Somebody else acts now. What was told comes first, so that they tell nothing twice; then what this worker
        alone knows of an outage. Tried again in each round until the database takes it.
        """
        self._settle()
        if not self._owes:
            return
        try:
            with deadline.within(STORE_SECONDS):
                self._write_back(now)
                self._incidents.save()
        except DatabaseError as error:
            logger.warning("what was found in the outage can't be stored yet: %s", _first_line(error))
        else:
            self._incidents, self._owes = Incidents(), False

    def _settle(self) -> None:
        try:
            self._teller.settle(timeout=0)
        except Exception:  # the watch goes on, whatever is wrong with its voice
            logger.exception("alerts failed")

    def _tell(self, found: Round, now: datetime) -> None:
        """Before anything is stored: it is what must not wait for a database."""
        try:
            self._teller.round(open=found.open, recovered=found.recovered, now=now)
        except Exception:  # the watch goes on, whatever is wrong with its voice
            logger.exception("alerts failed")

    def _load(self) -> None:
        try:
            with deadline.within(STORE_SECONDS):
                self._incidents.load()
            self._loaded = True
        except DatabaseError as error:
            logger.warning("open incidents can't be read: %s", _first_line(error))

    def _keep(self, results: Sequence[ProbeResult], now: datetime) -> tuple[int, int]:
        rows = health.rows_of(results)
        if self._role == DEPUTISES:
            return self._spooled(rows)
        home = f"database:{database_of('monitoring')}"
        down = any(each.name == home and each.finding.status == HealthStatus.ERROR for each in results)
        if not down:
            try:
                with deadline.within(STORE_SECONDS):
                    stored = self._write_back(now) + health.store(rows)
            except DatabaseError as error:
                logger.warning("health can't be stored, and is kept in %s: %s", self._spool.path, _first_line(error))
            else:
                self._save_incidents()
                return stored, 0
        return self._spooled(rows)

    def _save_incidents(self) -> None:
        if not self._loaded:
            return
        try:
            with deadline.within(STORE_SECONDS):
                self._incidents.save()
        except DatabaseError as error:
            logger.warning("incidents can't be stored yet: %s", _first_line(error))

    def _spooled(self, rows: Sequence[SystemHealth]) -> tuple[int, int]:
        try:
            self._spool.add(rows)
        except OSError:
            logger.exception("%d health records are lost: %s", len(rows), self._spool.path)
            return 0, 0
        return 0, len(rows)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
