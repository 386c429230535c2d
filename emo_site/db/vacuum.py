"""What vacuuming has left undone in a PostgreSQL database: dead rows by table, and the age of transaction ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

MOST_TOLD = 20
# Ids are compared modulo 2^32, so that no two that are in use may be further apart. The server stops taking writes
# some millions before that.
WRAPAROUND = 2**31

# Chunks of hypertables are tables of their own here, in a schema of TimescaleDB's.
_TABLES = """
SELECT s.relname::text, s.n_live_tup, s.n_dead_tup, greatest(s.last_autovacuum, s.last_vacuum),
       coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions)
                  WHERE option_name = 'autovacuum_enabled'), 'true') IN ('false', 'off', '0', 'no')
  FROM pg_catalog.pg_stat_user_tables s JOIN pg_catalog.pg_class c ON c.oid = s.relid
 WHERE s.n_dead_tup > 0
 ORDER BY s.n_dead_tup DESC, s.relname LIMIT %s
"""
# Of every database of the server: the oldest one stops them all.
_AGES = """
SELECT datname::text, greatest(age(datfrozenxid), mxid_age(datminmxid)) FROM pg_catalog.pg_database
 ORDER BY 2 DESC, 1 LIMIT 1
"""
_ON = "SELECT current_setting('autovacuum') = 'on' AND current_setting('track_counts') = 'on'"


@dataclass(frozen=True, kw_only=True)
class Dead:
    """Rows of one table as its statistics count them; `vacuumed_at` None where that never was."""

    table: str
    live: int
    dead: int
    vacuumed_at: datetime | None
    switched_off: bool
    """Autovacuum leaves this table alone."""

    @property
    def percent(self) -> float:
        return 100 * self.dead / max(1, self.live + self.dead)


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """`tables` with the most dead rows first. `oldest_age` in transactions (or multixacts, whichever is older)."""

    autovacuum: bool
    tables: tuple[Dead, ...]
    oldest_database: str
    oldest_age: int

    @property
    def wraparound_percent(self) -> float:
        return 100 * self.oldest_age / WRAPAROUND


def look_at(connection: BaseDatabaseWrapper) -> Upkeep:
    with connection.cursor() as cursor:
        cursor.execute(_ON, [])
        autovacuum = cursor.fetchone()[0]
        cursor.execute(_TABLES, [MOST_TOLD])
        tables = tuple(
            Dead(table=table, live=live, dead=dead, vacuumed_at=at, switched_off=off)
            for table, live, dead, at, off in cursor.fetchall()
        )
        cursor.execute(_AGES, [])
        database, age = cursor.fetchone()
    return Upkeep(autovacuum=autovacuum, tables=tables, oldest_database=database, oldest_age=age)
