"""Is the time believable enough to destroy rows by it? Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from emo_site import display

# Between this machine and the database server.
MAX_SKEW = timedelta(minutes=5)


def doubt(*, now: datetime, server_now: datetime, newest: datetime | None, keep: timedelta) -> str:
    """Why rows older than `now - keep` should not go unasked; empty where nothing speaks against it.

    `newest` is the newest row that is not after `now`. Rows from the future don't count: they would hide that the
    clock is ahead, and a clock that is behind only makes fewer rows go.
    """
    skew = now - server_now
    if abs(skew) > MAX_SKEW:
        way = "ahead of" if skew > timedelta() else "behind"
        return f"this machine's clock is {display.age(abs(skew))} {way} the database server's"
    if newest is not None and now - newest > keep / 2:
        return (
            f"the newest row is {display.age(now - newest)} old, more than half of the {display.age(keep)} that are"
            " kept: either the clock is ahead, or nothing is recorded any more and the last rows would go"
        )
    return ""
