"""What the drill's people sent and what the desk answered, kept outside the desk."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from benchmarks.failover_drill.browser import Answer


class Action(StrEnum):
    """What is sent; the value is the kind of the event that it leaves in order_events."""

    STAGE = "staged"
    APPROVE = "approved"
    SUBMIT = "submitted"
    FILL = "filled"


class Outcome(StrEnum):
    """How a request that writes was answered."""

    ACKNOWLEDGED = "acknowledged"
    """The redirect of success: from here on it must never be lost."""
    REFUSED = "refused"
    """503 with Retry-After: it may be on record or not, and at most once."""
    DECLINED = "declined"
    """The desk objected by its own rules, with a page that says why."""
    FAILED = "failed"
    """Anything else: an error page, no answer, a connection that broke."""


@dataclass(frozen=True, kw_only=True)
class Write:
    action: Action
    client_order_id: str
    execution_id: str
    outcome: Outcome
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Read:
    path: str
    answer: Answer

    @property
    def succeeded(self) -> bool:
        return self.answer.status == 200


@dataclass
class Ledger:
    """Filled by many threads, read when they are done."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, entry: Write | Read) -> None:
        with self._lock:
            if isinstance(entry, Write):
                self.writes.append(entry)
            else:
                self.reads.append(entry)

    def count(self, outcome: Outcome) -> int:
        return sum(write.outcome == outcome for write in self.writes)

    @property
    def acknowledged(self) -> list[Write]:
        return [write for write in self.writes if write.outcome == Outcome.ACKNOWLEDGED]

    @property
    def failed_reads(self) -> list[Read]:
        return [read for read in self.reads if not read.succeeded]

    @property
    def answers(self) -> list[Answer]:
        return [*(write.answer for write in self.writes), *(read.answer for read in self.reads)]

    def problems(self) -> list[str]:
        """What did not go through and why, the most frequent first."""
        texts: Counter[str] = Counter()
        for write in self.writes:
            if write.outcome != Outcome.ACKNOWLEDGED:
                said = "; ".join(write.answer.objections) or write.answer.problem
                texts[f"{write.action} {write.outcome}: {write.answer.status} {said}"] += 1
        for read in self.failed_reads:
            texts[f"read of {_kind(read.path)} failed: {read.answer.status} {read.answer.problem}"] += 1
        return [f"{count} x {' '.join(text.split())[:240]}" for text, count in texts.most_common()]


def longest_gap(moments: Iterable[float], *, since: float, until: float) -> float:
    """Seconds between two successes that follow each other, the latter after `since`; `until` ends the last one.

    0 where there is none at all before `since` would hide everything: then the gap begins at `since`.
    """
    ordered = sorted(moments)
    before = [moment for moment in ordered if moment <= since]
    points = [before[-1] if before else since, *(moment for moment in ordered if moment > since), until]
    return max(later - earlier for earlier, later in pairwise(points))


def _kind(path: str) -> str:
    return "an order's page" if path.endswith("/change/") else path
