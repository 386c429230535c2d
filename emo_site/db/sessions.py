"""Who is connected to a server: sessions of every process by application_name, and how many it takes at all."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

# Names are anybody's to choose; the rest is summed up.
MOST_APPLICATIONS = 20

# What the server says instead of a statement to a role that may not see more of a session. Its state is NULL then; but
# that of a session that is just connecting is so to everybody.
NOT_SHOWN = "<insufficient privilege>"
# Visible to every role: who may not see more of a session finds its backend_type and state NULL. So workers of a
# parallel query by another role are counted too, rather than a client left out. Standbys (without datid) have slots
# of their own.
_SESSIONS = """
SELECT coalesce(nullif(application_name, ''), '(no name)'), datname = current_database(),
       count(*), count(*) FILTER (WHERE state = 'active'),
       count(*) FILTER (WHERE state LIKE 'idle in transaction%%'), count(*) FILTER (WHERE query = %s)
  FROM pg_stat_activity
 WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
 GROUP BY 1, 2 ORDER BY 3 DESC, 1
"""
_LIMITS = """
SELECT current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int
       + coalesce(current_setting('reserved_connections', true)::int, 0)
"""


@dataclass(frozen=True, kw_only=True)
class Application:
    """Sessions of one application_name. `hidden` are those whose state this role may not see."""

    name: str
    here: bool
    """In this database; else in another one of the same server."""
    sessions: int
    active: int
    idle_in_transaction: int
    hidden: int


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """`reserved` of `limit` are for superusers and pg_use_reserved_connections."""

    limit: int
    reserved: int
    applications: tuple[Application, ...]

    @property
    def used(self) -> int:
        return sum(each.sessions for each in self.applications)

    @property
    def free_for_all(self) -> int:
        return self.limit - self.reserved

    @property
    def used_percent(self) -> float:
        """Of what ordinary roles may have."""
        return 100 * self.used / max(1, self.free_for_all)


def look_at(connection: BaseDatabaseWrapper) -> Sessions:
    """Two statements to a PostgreSQL server. The asking session is among those found."""
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS, [])
        limit, reserved = cursor.fetchone()
        cursor.execute(_SESSIONS, [NOT_SHOWN])
        found = [
            Application(name=name, here=here, sessions=count, active=active, idle_in_transaction=idle, hidden=hidden)
            for name, here, count, active, idle, hidden in cursor.fetchall()
        ]
    return Sessions(limit=limit, reserved=reserved, applications=_bounded(found))


def _bounded(found: list[Application]) -> tuple[Application, ...]:
    kept, rest = found[:MOST_APPLICATIONS], found[MOST_APPLICATIONS:]
    if rest:
        kept.append(
            Application(
                name=f"({len(rest)} others)",
                here=False,
                sessions=sum(each.sessions for each in rest),
                active=sum(each.active for each in rest),
                idle_in_transaction=sum(each.idle_in_transaction for each in rest),
                hidden=sum(each.hidden for each in rest),
            )
        )
    return tuple(kept)
