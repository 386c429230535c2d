"""What the desk's own session may do in a database, and how it got there. Facts; monitoring judges them."""

from __future__ import annotations

from dataclasses import dataclass

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.aliases import apps_of, is_replica
from emo_site.db.roles import HIDDEN_FROM_READERS, audit_tables


@dataclass(frozen=True, kw_only=True)
class Access:
    """`owned`: tables of the desk that the user owns, or may alter as a member of their owner. `rewritable`: audit
    tables whose rows the user may change or remove. `unreadable`: tables of the desk that it needs and may not read."""

    user: str
    is_superuser: bool
    makes_roles: bool
    owned: tuple[str, ...]
    rewritable: tuple[str, ...]
    unreadable: tuple[str, ...]
    tls: str | None
    """The version of TLS on this connection; None where it is not encrypted."""
    over_network: bool
    """False where the server was reached by a local socket or the loopback."""
    checksums: bool


_SESSION = """
SELECT current_user, r.rolsuper, r.rolcreaterole,
       (SELECT version FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
       coalesce(NOT inet_server_addr() <<= '127.0.0.0/8' AND inet_server_addr() <> '::1', false),
       current_setting('data_checksums') = 'on'
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
_TABLES = """
SELECT c.relname, pg_has_role(c.relowner, 'USAGE'), has_any_column_privilege(c.oid, 'SELECT'),
       has_any_column_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE')
       OR has_table_privilege(c.oid, 'TRUNCATE')
FROM pg_catalog.pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%s) ORDER BY 1
"""


def look_at_access(connection: BaseDatabaseWrapper) -> Access:
    """Asks PostgreSQL; raises what the driver raises."""
    audits = set(audit_tables())
    here = apps_of(connection.alias, [config.label for config in apps.get_app_configs()])
    tables = [
        model._meta.db_table
        for label in here
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]
    # A page that comes from a replica is shown to who is logged in there; a report from the primary is shown to nobody.
    dispensable = frozenset[str]() if is_replica(connection.alias) else HIDDEN_FROM_READERS
    with connection.cursor() as cursor:
        cursor.execute(_SESSION, [])
        user, superuser, createrole, tls, network, checksums = cursor.fetchone()
        cursor.execute(_TABLES, [tables])
        rows = cursor.fetchall()
    return Access(
        user=user,
        is_superuser=superuser,
        makes_roles=createrole,
        owned=tuple(name for name, owns, _, _ in rows if owns),
        rewritable=tuple(name for name, _, _, changes in rows if changes and name in audits),
        unreadable=tuple(name for name, _, reads, _ in rows if not reads and name not in dispensable),
        tls=tls,
        over_network=network,
        checksums=checksums,
    )
