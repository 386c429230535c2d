"""What a PostgreSQL server's sessions are at: who waits for whose lock, and which transactions stay open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.sessions import NOT_SHOWN
from emo_site.db.statement_text import normalised

# The longest are told; with more there is one cause, and not as many.
MOST_TOLD = 20

# Not clients alone: autovacuum waits and is waited for, too. What other roles do is NULL to a role that is not in
# pg_read_all_stats; pg_locks, pg_blocking_pids() and the names are for everybody.
_SESSION = """
       a.pid, coalesce(nullif(a.application_name, ''), a.backend_type, '(no name)'), coalesce(a.usename::text, ''),
       coalesce(a.state, ''), coalesce(a.query, ''),
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float8
"""
# A session waits for one lock at a time. `waitstart` is NULL for a moment at the beginning of a wait.
_WAITS = f"""
SELECT {_SESSION},
       coalesce(extract(epoch FROM clock_timestamp() - l.waitstart), 0)::float8,
       CASE WHEN l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
            THEN coalesce((SELECT relname::text FROM pg_catalog.pg_class WHERE oid = l.relation), '') ELSE '' END,
       pg_blocking_pids(l.pid)
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE NOT l.granted AND (a.datid IS NULL OR a.datname = current_database())
 ORDER BY l.waitstart NULLS LAST, a.pid LIMIT %s
"""  # noqa: S608  # a text of our own
_SESSIONS = f"SELECT {_SESSION} FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY(%s) ORDER BY a.pid"  # noqa: S608
_OPEN = f"""
SELECT {_SESSION}
  FROM pg_catalog.pg_stat_activity a
 WHERE a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() AND a.datname = current_database()
   AND a.backend_type = 'client backend'
 ORDER BY a.xact_start, a.pid LIMIT %s
"""  # noqa: S608
_HIDDEN = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND query = %s"


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session; seconds. `statement` is its last one, without literals; empty where this role may not see it."""

    pid: int
    application: str
    user: str
    state: str
    statement: str
    open_seconds: float
    """Since its transaction began; 0 outside any, and where this role may not see it."""
    state_seconds: float
    """Since it is in that state."""

    @property
    def is_idle(self) -> bool:
        """In the middle of a transaction that does nothing."""
        return self.state.startswith("idle in transaction")


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A session that waits for a lock on `table` (empty for another kind), and those who hold it or come first."""

    session: Session
    seconds: float
    table: str
    blockers: tuple[Session, ...]


@dataclass(frozen=True, kw_only=True)
class Open:
    """The longest open transactions, oldest first. `hidden` sessions are of roles that this one may not look at."""

    sessions: tuple[Session, ...]
    hidden: int


def waits(connection: BaseDatabaseWrapper) -> tuple[Wait, ...]:
    """Who waits for a lock in this database, the longest wait first."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITS, [MOST_TOLD])
        found = cursor.fetchall()
        pids = sorted({pid for row in found for pid in row[-1]})
        cursor.execute(_SESSIONS, [pids])
        sessions = {row[0]: _session(row) for row in cursor.fetchall()}
    return tuple(
        Wait(
            session=_session(row),
            seconds=row[-3],
            table=row[-2],
            # A prepared transaction blocks as pid 0, which is no session.
            blockers=tuple(sessions[pid] for pid in dict.fromkeys(row[-1]) if pid in sessions),
        )
        for row in found
    )


def open_transactions(connection: BaseDatabaseWrapper) -> Open:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [MOST_TOLD])
        sessions = tuple(map(_session, cursor.fetchall()))
        cursor.execute(_HIDDEN, [NOT_SHOWN])
        return Open(sessions=sessions, hidden=cursor.fetchone()[0])


def _session(row: tuple[Any, ...]) -> Session:
    pid, application, user, state, statement, open_seconds, state_seconds, *_ = row
    return Session(
        pid=pid,
        application=application,
        user=user,
        state=state,
        statement="" if statement == NOT_SHOWN else normalised(statement),
        # Clocks may be set back.
        open_seconds=max(0.0, open_seconds),
        state_seconds=max(0.0, state_seconds),
    )
