"""What a PostgreSQL server says it can do about time series."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """TimescaleDB as one database sees it. Versions are the server's own strings, None where there is none."""

    available: str | None
    installed: str | None
    preloaded: bool
    licence: str | None


_QUESTION = """
SELECT (SELECT default_version FROM pg_catalog.pg_available_extensions WHERE name = 'timescaledb'),
       (SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'),
       EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name LIKE 'timescaledb%%'),
       current_setting('timescaledb.license', true)
"""


def look_up(connection: BaseDatabaseWrapper) -> Capabilities:
    """Asks the server; on SQLite nothing is available. One query, no privilege needed."""
    if connection.vendor != "postgresql":
        return Capabilities(available=None, installed=None, preloaded=False, licence=None)
    with connection.cursor() as cursor:
        cursor.execute(_QUESTION, [])
        available, installed, preloaded, licence = cursor.fetchone()
    return Capabilities(available=available, installed=installed, preloaded=preloaded, licence=licence)
