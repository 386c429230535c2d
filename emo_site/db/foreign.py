"""Other databases as a PostgreSQL server sees them through its extension postgres_fdw, and what makes them so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from emo_site.db.roles import Statement

EXTENSION = "postgres_fdw"
# Rows that the server fetches from the other one at a time: enough for a page of a list, and few round trips for more.
_FETCH_SIZE = "1000"
# What a URL may say of the way to the server. Time-outs of statements, the pool and the program's name are the desk's.
_OF_THE_WAY = (
    "sslmode",
    "sslrootcert",
    "sslcrl",
    "sslcert",
    "sslkey",
    "channel_binding",
    "gssencmode",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
)
_MASK = "***"


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A server (one database of it) and who comes to it, each as the options of postgres_fdw."""

    server: Mapping[str, str]
    user: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A part of a partitioned table: where it is (empty: here) and which rows it has, as PostgreSQL says it."""

    name: str
    server: str
    bound: str


def foreign_of(database: Mapping[str, Any]) -> Foreign:
    """Of Django's settings of a PostgreSQL database."""
    way = {name: str(database["OPTIONS"][name]) for name in _OF_THE_WAY if name in database["OPTIONS"]}
    server = {
        "host": database["HOST"] or "localhost",
        "port": str(database["PORT"] or "5432"),
        "dbname": str(database["NAME"]),
        "application_name": "emo-desk market_events",
        "fetch_size": _FETCH_SIZE,
        # Without it the planner knows nothing of the other's indexes, and fetches a table to sort it here.
        "use_remote_estimate": "true",
        # The shards are asked at the same time, not one after the other.
        "async_capable": "true",
        **way,
    }
    return Foreign(server=server, user={"user": database["USER"], "password": database["PASSWORD"]})


def is_available(connection: BaseDatabaseWrapper) -> bool:
    """Whether the extension lies on the server's disk."""
    return bool(_rows(connection, "SELECT FROM pg_catalog.pg_available_extensions WHERE name = %s", [EXTENSION]))


def is_installed(connection: BaseDatabaseWrapper) -> bool:
    return bool(_rows(connection, "SELECT FROM pg_catalog.pg_extension WHERE extname = %s", [EXTENSION]))


def servers(connection: BaseDatabaseWrapper, names: Sequence[str]) -> dict[str, Foreign]:
    """Those that are known here, with what everybody comes as; only a superuser sees all of that."""
    found = _rows(
        connection,
        "SELECT s.srvname, s.srvoptions, m.umoptions FROM pg_catalog.pg_foreign_server s"
        " LEFT JOIN pg_catalog.pg_user_mappings m ON m.srvid = s.oid AND m.umuser = 0 WHERE s.srvname = ANY(%s)",
        [list(names)],
    )
    return {name: Foreign(server=_options(of_server), user=_options(of_user)) for name, of_server, of_user in found}


def partitions(connection: BaseDatabaseWrapper, table: str) -> dict[str, Partition]:
    found = _rows(
        connection,
        "SELECT c.relname, coalesce(s.srvname, ''), pg_get_expr(c.relpartbound, c.oid) FROM pg_catalog.pg_inherits i"
        " JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
        " LEFT JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = c.oid"
        " LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver WHERE i.inhparent = to_regclass(%s)",
        [table],
    )
    return {name: Partition(name=name, server=server, bound=bound) for name, server, bound in found}


def statements(name: str, wanted: Foreign, found: Foreign | None) -> list[Statement]:
    """What makes or mends the server `name` and the way that everybody comes to it; nothing where all is right."""
    if found is None:
        return [
            _statement(f"CREATE SERVER {name} FOREIGN DATA WRAPPER {EXTENSION} OPTIONS", _listed(wanted.server)),
            _mapping("CREATE", name, _listed(wanted.user)),
        ]
    changes = []
    if change := _changed(wanted.server, found.server):
        changes.append(_statement(f"ALTER SERVER {name} OPTIONS", change))
    if not found.user:
        changes.append(_mapping("CREATE", name, _listed(wanted.user)))
    elif change := _changed(wanted.user, found.user):
        changes.append(_mapping("ALTER", name, change))
    return changes


# Pairs of an option, with what is done to it, and its value.
_Pairs = list[tuple[str, str | None]]


def _mapping(verb: str, name: str, pairs: _Pairs) -> Statement:
    # For everybody: who may read the table is decided by the table's own privileges.
    return _statement(f"{verb} USER MAPPING FOR PUBLIC SERVER {name} OPTIONS", pairs)


def _statement(beginning: str, pairs: _Pairs) -> Statement:
    def said(*, masked: bool) -> str:
        return ", ".join(
            option if value is None else f"{option} {literal(_MASK if masked and 'password' in option else value)}"
            for option, value in pairs
        )

    return Statement(sql=f"{beginning} ({said(masked=False)})", shown=f"{beginning} ({said(masked=True)})")


def literal(text: str) -> str:
    return sql.Literal(text).as_string(None).strip()


def _listed(options: Mapping[str, str]) -> _Pairs:
    return list(options.items())


def _changed(wanted: Mapping[str, str], found: Mapping[str, str]) -> _Pairs:
    changed: _Pairs = [
        (f"{'SET' if name in found else 'ADD'} {name}", value)
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    return [*changed, *((f"DROP {name}", None) for name in found if name not in wanted)]


def _options(found: list[str] | None) -> dict[str, str]:
    return dict(each.split("=", 1) for each in found or ())


def _rows(connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
