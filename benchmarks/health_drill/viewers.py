"""Fifty people who are on the page all the while, each asking as often as the page itself does in a hurry."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

VIEWERS = 50
EVERY_SECONDS = 5.0
# What takes longer than this counts as no answer.
ANSWER_SECONDS = 20.0


@dataclass
class Views:
    """Answers by status; "503 with Retry-After" and "none: …" beside the numbers. Seconds of the longest."""

    answers: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str, seconds: float) -> None:
        with self._lock:
            self.answers[answer] += 1
            self.longest = max(self.longest, seconds)

    @property
    def failed(self) -> dict[str, int]:
        """All but pages, "nothing new" and refusals that say when to come back."""
        return {name: number for name, number in self.answers.items() if name not in ("200", "304", _REFUSED)}

    def __str__(self) -> str:
        told = ", ".join(f"{number} × {name}" for name, number in sorted(self.answers.items()))
        return f"{VIEWERS} viewers: {told}; the longest took {self.longest:.1f} s"


_REFUSED = "503 with Retry-After"


@contextmanager
def watching(port: int, path: str, session: str) -> Iterator[Views]:
    views, done = Views(), threading.Event()

    def view(after: float) -> None:
        tag = ""
        while not done.wait(after):
            started = time.monotonic()
            answer, tag = _asked(port, path, session, tag)
            seconds = time.monotonic() - started
            views.note(answer, seconds)
            after = max(0.1, EVERY_SECONDS - seconds)

    threads = [threading.Thread(target=view, args=(EVERY_SECONDS * place / VIEWERS,)) for place in range(VIEWERS)]
    for thread in threads:
        thread.start()
    try:
        yield views
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _asked(port: int, path: str, session: str, tag: str) -> tuple[str, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers={"Cookie": f"sessionid={session}", "If-None-Match": tag})
        response = connection.getresponse()
        response.read()
    except (OSError, HTTPException) as error:
        return f"none: {type(error).__name__}", tag
    finally:
        connection.close()
    if response.status == 503 and response.headers.get("Retry-After"):
        return _REFUSED, tag
    return str(response.status), response.headers.get("ETag") or tag
