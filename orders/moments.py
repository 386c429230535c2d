"""Points in time as people type them: ISO 8601; without an offset it is UTC, as everywhere on the desk. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


class InvalidMoment(ValueError):
    """The message names the option or field, its value and the rule."""


def moment(name: str, text: str) -> datetime:
    """An aware time in UTC. Raises InvalidMoment."""
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidMoment(f"{name}={text}: must be a time in ISO 8601, such as 2025-11-03T15:00:00Z") from error
