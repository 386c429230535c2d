"""When New York trades. Pure. Holidays and half days are not known here: they are in no calendar of the desk."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("America/New_York")
OPENS, CLOSES = time(9, 30), time(16, 0)
_SATURDAY = 5


def open_for(now: datetime) -> timedelta | None:
    """How long the session has been going on at `now` (aware); None outside of it."""
    local = now.astimezone(ZONE)
    if local.weekday() >= _SATURDAY or not OPENS <= local.time() < CLOSES:
        return None
    # Clocks change by night: no session has an hour too many.
    return local - local.replace(hour=OPENS.hour, minute=OPENS.minute, second=0, microsecond=0)
