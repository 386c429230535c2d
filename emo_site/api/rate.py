"""How often each token may ask: a bucket that fills again by itself. For one process; the clock is the caller's."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import ceil


@dataclass
class _Bucket:
    left: float
    at: float


class Rate:
    """`per_minute` requests at once at most, and as many in the long run."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    def wait(self, name: str, *, per_minute: int, at: float) -> int:
        """Takes one. 0, or in how many whole seconds there is one to take; `at` in seconds of a steady clock."""
        with self._lock:
            bucket = self._buckets.setdefault(name, _Bucket(left=per_minute, at=at))
            bucket.left = min(per_minute, bucket.left + (at - bucket.at) * per_minute / 60)
            bucket.at = at
            if bucket.left >= 1:
                bucket.left -= 1
                return 0
            return ceil((1 - bucket.left) * 60 / per_minute)


of_process = Rate()
