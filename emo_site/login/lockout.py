"""How many failed logins a name and an address have, and for how long they must wait then. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, kw_only=True)
class Limit:
    """From the `failures`-th failure on, each one is followed by a wait: the first of `waits`, the next, the last.

    A quiet time of `forgotten_after` ends the series.
    """

    failures: int
    waits: tuple[timedelta, ...]
    forgotten_after: timedelta

    def wait_after(self, failures: int) -> timedelta | None:
        """None: the next may follow at once."""
        beyond = failures - self.failures
        return None if beyond < 0 else self.waits[min(beyond, len(self.waits) - 1)]


def _minutes(*each: int) -> tuple[timedelta, ...]:
    return tuple(timedelta(minutes=minutes) for minutes in each)


# Who mistypes waits a minute; who guesses gets about thirty guesses a day.
NAME = Limit(failures=5, waits=_minutes(1, 2, 4, 8, 15, 30, 60), forgotten_after=timedelta(days=1))
# A whole office may share one, and people who log in do not clear it: it forgets sooner.
ADDRESS = Limit(failures=20, waits=_minutes(15), forgotten_after=timedelta(minutes=15))


def told(wait: timedelta) -> str:
    """The wait in words, rounded up: who comes back then must not be too early."""
    minutes = max(1, -(-wait // timedelta(minutes=1)))
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
