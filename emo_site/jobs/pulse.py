"""Beats for a worker beside its work, and ends the process before anybody may take it for dead and give its task on."""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import timedelta

from django.db import DatabaseError, connections

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.clocks import now_of
from emo_site.jobs import heartbeats
from emo_site.jobs.heartbeats import LeaseLost

logger = logging.getLogger("emo.jobs")

# How the process ends that can't be sure any more that its task is its own; a supervisor starts it again.
EXIT_LOST = 3
BEATS_IN_A_LEASE = 6


class Pulse:
    """Two threads: one beats, the other watches that it does, for a server that is frozen lets a statement hang.

    The process ends when no beat has come through for two thirds of the lease. By the database's clock the lease ends
    later than that, so that no other worker has the task before this one is gone.
    """

    def __init__(self, worker: str, *, lease: timedelta) -> None:
        self._worker = worker
        self._lease = lease
        self._ended = threading.Event()
        self._beaten = time.monotonic()
        self._threads = [
            threading.Thread(target=each, daemon=True, name=f"{each.__name__.strip('_')} {worker}")
            for each in (self._beat, self._watch)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        # A beat that hangs must not hold up the end.
        self._threads[0].join(timeout=5)

    def _beat(self) -> None:
        try:
            while not self._ended.wait(self._lease.total_seconds() / BEATS_IN_A_LEASE):
                self._beat_once()
        finally:
            connections.close_all()

    def _beat_once(self) -> None:
        # Of before the question: whatever it takes, the lease is counted from no later than this.
        started = time.monotonic()
        try:
            heartbeats.beat(self._worker, lease=self._lease, now=now_of(connections[PRIMARY_ALIAS]))
        except LeaseLost:
            _end_process(f"worker {self._worker} was taken for dead")
        except DatabaseError as error:
            logger.warning("worker %s could not beat: %s", self._worker, str(error).strip())
        else:
            self._beaten = started
        # Back to the pool, or away where it is broken.
        connections.close_all()

    def _watch(self) -> None:
        patience = self._lease.total_seconds() * 2 / 3
        while not self._ended.wait(min(1.0, patience / 10)):
            if time.monotonic() - self._beaten > patience:
                _end_process(f"worker {self._worker} could not beat for {patience:g} s")


def _end_process(why: str) -> None:
    logger.critical("%s; it ends at once, since its task may be given to another", why)
    logging.shutdown()
    # Not SystemExit: that would end this thread alone, and the work would go on.
    os._exit(EXIT_LOST)
