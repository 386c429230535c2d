"""Where a reader of the order feed has come to: after an event, or before the first one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

_FORM = re.compile(r"([1-9][0-9]{0,17})\.([0-9a-f]{32})")


class InvalidCursor(ValueError):
    """No cursor; the message says what one looks like."""


@dataclass(frozen=True)
class Cursor:
    """Behind the event at that number. The event's id tells whether the feed is still the one that was read: a desk
    that was restored from a backup gives the numbers behind it to other events. `number` 0 and no event: the beginning.
    """

    number: int = 0
    event: UUID | None = None

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises InvalidCursor."""
        if text == str(BEGINNING):
            return BEGINNING
        found = _FORM.fullmatch(text)
        if found is None:
            raise InvalidCursor(f"after={text[:80]!r}: must be a cursor that the feed gave, or 0 for its beginning")
        return cls(int(found[1]), UUID(found[2]))

    def __str__(self) -> str:
        return f"{self.number}.{self.event.hex}" if self.event else "0"


BEGINNING = Cursor()
