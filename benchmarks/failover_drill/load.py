"""Everybody at work at once: eight clients, two readers and a feed of market events."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.failover_drill.browser import GIVEN_UP_SECONDS, Person
from benchmarks.failover_drill.clients import Pair, Reader
from benchmarks.failover_drill.desk import Broken, Desk
from benchmarks.failover_drill.ledger import Ledger

CLIENTS = 8
READERS = 2
WARM_WITHIN = 40.0


@dataclass
class Feed:
    """The process that records market events, as it speaks."""

    desk: Desk
    source: str
    begin: datetime = field(default_factory=lambda: datetime.now(UTC))
    """The time of its first event."""
    acknowledged: int = 0
    failures: int = 0
    hung: bool = False

    def start(self) -> None:
        self._process = self.desk.command("benchmarks.failover_drill.feed", self.source, self.begin.isoformat())
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(GIVEN_UP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self.hung = True
            return
        finally:
            self._listener.join()
        if status != 0:
            raise Broken(f"the feed ended with exit status {status}: {self.desk.errors()[-3:]}")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, _, rest = line.partition(" ")
            if word == "acknowledged":
                self.acknowledged = int(rest)
            else:
                self.failures += 1


@dataclass
class Load:
    """All of them; `name` begins every client order id, execution id and source, so that they are found again."""

    desk: Desk
    people: Mapping[str, Sequence[str]]
    name: str
    seed: int
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.feed = Feed(self.desk, self.name)
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        chance = random.Random(self.seed)
        workers: list[Pair | Reader] = [
            Pair(
                f"{self.name}-{number}",
                self._person("trader", number),
                self._person("reviewer", number),
                self.ledger,
                random.Random(chance.random()),
            )
            for number in range(CLIENTS)
        ]
        workers += [
            Reader(self._person("auditor", number), self.ledger, random.Random(chance.random()))
            for number in range(READERS)
        ]
        self._threads = [threading.Thread(target=self._work, args=[worker]) for worker in workers]

    def start(self, *, at_least: int) -> None:
        """Return once that many writes are acknowledged and every kind of worker has had an answer."""
        for thread in self._threads:
            thread.start()
        self.feed.start()
        give_up_at = time.monotonic() + WARM_WITHIN
        while len(self.ledger.acknowledged) < at_least or not self.feed.acknowledged or not self.ledger.reads:
            if time.monotonic() > give_up_at or self._failures:
                self.stop()
                raise Broken(
                    f"no load within {WARM_WITHIN:g} s: {self.ledger.problems()[:5]} {self.desk.errors()[-5:]}"
                )
            time.sleep(0.05)

    def go_on_until_written(self, after: float, *, within: float) -> None:
        """Return once a write was acknowledged after that time.monotonic(), or `within` seconds from now."""
        give_up_at = time.monotonic() + within
        while time.monotonic() < give_up_at and not self._failures:
            if any(write.answer.ended > after for write in self.ledger.acknowledged):
                return
            time.sleep(0.05)

    def stop(self) -> None:
        """Return once every request that was sent has its answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.feed.stop()
        if self._failures:
            raise Broken(f"a client of the drill broke: {self._failures[0]!r}")

    def _person(self, group: str, number: int) -> Person:
        return Person(self.desk.port, self.people[group][number])

    def _work(self, worker: Pair | Reader) -> None:
        try:
            worker.work(self._stop)
        except Exception as error:  # noqa: BLE001  # the outermost edge of a thread; stop() raises it again
            self._failures.append(error)
