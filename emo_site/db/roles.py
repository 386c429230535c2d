"""Least-privilege roles of PostgreSQL: who owns the desk's tables, who changes their rows, who only reads.

Each app says in its AppConfig (`app_privileges`) what the desk does with its tables; a model that is not named there
gets all of DML. A table that a migration made append-only (RefuseChanges) gets INSERT and SELECT, whatever is said.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from emo_site.db.append_only import RefuseChanges
from emo_site.db.health import MIGRATIONS_TABLE
from emo_site.db.timescale.capabilities import look_up

SCHEMA = "public"
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
DML = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
APPEND = frozenset({"SELECT", "INSERT"})
READ = frozenset({"SELECT"})
COUNT = frozenset({"SELECT", "USAGE"})
# Who holds a session's key is logged in, and who has a password's hash may guess it: reports need neither.
HIDDEN_FROM_READERS = frozenset({Session._meta.db_table})
# So does whoever has a webhook's URL or secret speak in the desk's name.
HIDDEN_COLUMNS = {
    User._meta.db_table: frozenset({"password"}),
    "alert_channels": frozenset({"url", "secret"}),
    # Encrypted and hashed, and nobody's business all the same.
    "login_accounts": frozenset({"sealed_secret"}),
    "login_backup_codes": frozenset({"hash"}),
}
# Who blocks a migration, who is connected, and what a standby receives; all of it is NULL to others.
SEES_STATISTICS = "pg_read_all_stats"

_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_ATTRIBUTES = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"


class RolesRefused(Exception):
    """Roles can't be made, or are not as they should be; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The names of one desk's roles. Roles belong to the whole server, so that two desks on it need two prefixes."""

    prefix: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise RolesRefused(
                f"prefix={self.prefix!r}: up to 40 lower-case letters, digits and underscores are needed"
            )
        if self.prefix.startswith("pg_"):
            raise RolesRefused(f"prefix={self.prefix!r}: names that begin with pg_ belong to PostgreSQL")

    @property
    def migrator(self) -> str:
        return f"{self.prefix}_migrator"

    @property
    def app(self) -> str:
        return f"{self.prefix}_app"

    @property
    def readonly(self) -> str:
        return f"{self.prefix}_readonly"

    @property
    def all(self) -> tuple[str, str, str]:
        return self.migrator, self.app, self.readonly


@dataclass(frozen=True, kw_only=True)
class Statement:
    """`sql` is run; `shown` is printed: the same without what nobody should see."""

    sql: str
    shown: str


def audit_tables() -> list[str]:
    """The tables that some migration made append-only."""
    found = {
        str(apps.get_model(app_label, operation.model_name)._meta.db_table)
        for (app_label, _), migration in MigrationLoader(None).graph.nodes.items()
        for operation in migration.operations
        if isinstance(operation, RefuseChanges)
    }
    return sorted(found)


def privileges_of_app(tables: Sequence[str]) -> dict[str, frozenset[str]]:
    """What the desk itself may do with each of the tables."""
    said: dict[str, frozenset[str]] = {MIGRATIONS_TABLE: READ}
    for config in apps.get_app_configs():
        for name, verbs in getattr(config, "app_privileges", {}).items():
            said[config.get_model(name)._meta.db_table] = frozenset(verbs)
    said |= dict.fromkeys(audit_tables(), APPEND)
    return {table: said.get(table, DML) for table in tables}


def privileges_of_reader(table: str, columns: Sequence[str]) -> frozenset[str]:
    """Verbs, or where something of the table is hidden, verbs of columns (of_column)."""
    if table in HIDDEN_FROM_READERS:
        return frozenset()
    if hidden := HIDDEN_COLUMNS.get(table):
        return frozenset(of_column("SELECT", column) for column in columns if column not in hidden)
    return READ


def of_column(verb: str, column: str) -> str:
    """How GRANT names the privilege on one column."""
    return f'{verb} ("{column}")'


def columns_of(connection: BaseDatabaseWrapper) -> Mapping[str, list[str]]:
    """Names of the columns of each table and view in the desk's schema."""
    found: dict[str, list[str]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid"
            " WHERE c.relnamespace = %s::regnamespace AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            [SCHEMA],
        )
        for table, column in cursor.fetchall():
            found[table].append(column)
    return found


def tables_of(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of the tables and views in the desk's schema, those of extensions left out. The database is the desk's.

    Without foreign tables, which are parts of a table here and are asked through that alone.
    """
    return [name for kind, name, _ in _relations(connection) if kind not in ("S", "f")]


def statements(connection: BaseDatabaseWrapper, roles: Roles, passwords: Mapping[str, str]) -> list[Statement]:
    """All that makes the roles as they should be; run twice, it changes nothing the second time but the verifiers."""
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    migrator, app, readonly = roles.all
    return [
        *_extension(connection),
        *_role_statements(connection, roles, passwords),
        *_plain(
            f"GRANT {SEES_STATISTICS} TO {migrator}, {app}, {readonly}",
            f"ALTER ROLE {readonly} SET default_transaction_read_only = on",
            f"REVOKE ALL ON DATABASE {database} FROM PUBLIC, {migrator}, {app}, {readonly}",
            f"GRANT CONNECT ON DATABASE {database} TO {migrator}, {app}, {readonly}",
            # The app loads events through a temporary table.
            f"GRANT TEMPORARY ON DATABASE {database} TO {migrator}, {app}",
            f"REVOKE CREATE ON SCHEMA {SCHEMA} FROM PUBLIC",
            f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {migrator}, {app}, {readonly}",
            f"GRANT USAGE ON SCHEMA {SCHEMA} TO {app}, {readonly}",
            f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {migrator}",
        ),
        *_ownership(connection, migrator),
        # Before its grants are completed, a new table can be added to and no more: it may be an audit table.
        *_plain(
            *(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {migrator} IN SCHEMA {SCHEMA} {change}"
                for change in (
                    f"REVOKE ALL ON TABLES FROM PUBLIC, {app}, {readonly}",
                    f"GRANT SELECT, INSERT ON TABLES TO {app}",
                    f"GRANT SELECT ON TABLES TO {readonly}",
                    f"GRANT USAGE, SELECT ON SEQUENCES TO {app}",
                    f"GRANT SELECT ON SEQUENCES TO {readonly}",
                )
            )
        ),
        *grants(connection, roles),
    ]


def make(connection: BaseDatabaseWrapper, wanted: Sequence[Statement]) -> None:
    """All of it or nothing. Needs a superuser."""
    connection.ensure_connection()
    # psycopg's own transaction: the connection need not be the one that Django knows by this alias.
    with connection.connection.transaction(), connection.cursor() as cursor:
        # The desk may be running: rather give up than make it queue up behind us.
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        for statement in wanted:
            cursor.execute(statement.sql)


def grants(connection: BaseDatabaseWrapper, roles: Roles) -> list[Statement]:
    """What the tables and sequences lack or have too much of; the owner may run it."""
    found, columns = _granted(connection), columns_of(connection)
    # Foreign tables are parts of a table here, and asked through that alone: nobody is granted anything on them.
    relations = [each for each in _relations(connection) if each[0] != "f"]
    of_app = privileges_of_app([name for kind, name, _ in relations if kind != "S"])
    result: list[str] = []
    for kind, relation, _ in relations:
        is_sequence = kind == "S"
        name = f'{"SEQUENCE" if is_sequence else "TABLE"} {SCHEMA}."{relation}"'
        for role, verbs in (
            ("PUBLIC", frozenset[str]()),
            (roles.app, COUNT if is_sequence else of_app[relation]),
            (roles.readonly, READ if is_sequence else privileges_of_reader(relation, columns[relation])),
        ):
            if found[relation, role] == verbs:
                continue
            # With the table's go those of its columns.
            if found[relation, role] - verbs:
                result.append(f"REVOKE ALL ON {name} FROM {role}")
            if verbs:
                result.append(f"GRANT {', '.join(sorted(verbs))} ON {name} TO {role}")
    return _plain(*result)


def complete_grants(connection: BaseDatabaseWrapper) -> list[str]:
    """After a migration by the migrator: gives the others what they need of new tables. Returns what was run.

    Does nothing where somebody else migrates: then there may be no roles, or those of another desk. Raises
    RolesRefused where the migrator does not own a table, whose grants it can't change therefore.
    """
    roles = roles_of_session(connection)
    if roles is None:
        return []
    wanted = grants(connection, roles)
    make(connection, wanted)
    # Who is not the owner gets a warning only, and nothing is granted.
    if left := grants(connection, roles):
        raise RolesRefused(
            f"{roles.migrator} could not complete the privileges ({left[0].shown}). It does not own that table: run"
            f" manage.py create_roles --prefix {roles.prefix} as a superuser."
        )
    return [statement.shown for statement in wanted]


def roles_of_session(connection: BaseDatabaseWrapper) -> Roles | None:
    """The roles to which the session's migrator belongs; None where it is no migrator, and on SQLite."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        name = str(cursor.fetchone()[0])
        prefix = name.removesuffix("_migrator")
        if prefix == name or not _PREFIX.fullmatch(prefix):
            return None
        roles = Roles(prefix=prefix)
        cursor.execute("SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = ANY(%s)", [list(roles.all)])
        return roles if cursor.fetchone()[0] == len(roles.all) else None


def require_superuser(connection: BaseDatabaseWrapper) -> None:
    """Raises RolesRefused for an engine without roles, and for a user who may not make them."""
    if connection.vendor != "postgresql":
        raise RolesRefused(
            f"{connection.alias}: SQLite has no roles. Who may read or write the file is the file system's affair:"
            " see docs/security.md."
        )
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
        name, is_superuser = cursor.fetchone()
    if not is_superuser:
        raise RolesRefused(
            f"{connection.alias}: {name} is no superuser. Run this command once with a superuser's URL; the desk itself"
            " must not have it."
        )


def _extension(connection: BaseDatabaseWrapper) -> list[Statement]:
    # It belongs to who makes it, and the migrator should not own what runs inside the server.
    can = look_up(connection)
    wanted = can.available is not None and can.installed is None and can.preloaded and settings.EMO_TIMESCALE == "auto"
    return _plain("CREATE EXTENSION IF NOT EXISTS timescaledb") if wanted else []


def _role_statements(
    connection: BaseDatabaseWrapper, roles: Roles, passwords: Mapping[str, str]
) -> Iterator[Statement]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY(%s)", [list(roles.all)])
        existing = {row[0] for row in cursor.fetchall()}
    for role in roles.all:
        if role not in existing:
            yield from _plain(f"CREATE ROLE {role} NOLOGIN")
        yield from _plain(f"ALTER ROLE {role} {_ATTRIBUTES}")
        if role in passwords:
            yield from _password(connection, role, passwords[role])


def _password(connection: BaseDatabaseWrapper, role: str, password: str) -> Iterator[Statement]:
    """Sends a SCRAM verifier, from which the password can't be read, and keeps even that out of the server's log."""
    connection.ensure_connection()
    pgconn: Any = connection.connection.pgconn
    verifier = pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    quiet = ("log_statement = 'none'", "log_min_duration_statement = -1", "log_min_error_statement = 'panic'")
    yield from _plain(*(f"SET LOCAL {setting}" for setting in quiet))
    yield Statement(sql=f"ALTER ROLE {role} LOGIN PASSWORD '{verifier}'", shown=f"ALTER ROLE {role} LOGIN PASSWORD ***")
    yield from _plain(*(f"SET LOCAL {setting.split(' = ')[0]} TO DEFAULT" for setting in quiet))


def _ownership(connection: BaseDatabaseWrapper, migrator: str) -> list[Statement]:
    words = {"r": "TABLE", "p": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW", "f": "FOREIGN TABLE", "S": "SEQUENCE"}
    of_tables = _owned_sequences(connection)
    relations = [
        f'ALTER {words[kind]} {SCHEMA}."{name}" OWNER TO {migrator}'
        for kind, name, owner in _relations(connection)
        # A column's own sequence follows its table.
        if owner != migrator and not (kind == "S" and name in of_tables)
    ]
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTIONS, [SCHEMA, migrator])
        functions = [f"ALTER FUNCTION {row[0]} OWNER TO {migrator}" for row in cursor.fetchall()]
    return _plain(*relations, *functions)


_OF_NO_EXTENSION = """
NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = o.oid
            AND d.deptype = 'e')
"""
_RELATIONS = f"""
SELECT o.relkind::text, o.relname, pg_get_userbyid(o.relowner) FROM pg_catalog.pg_class o
WHERE o.relnamespace = %s::regnamespace AND o.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
AND {_OF_NO_EXTENSION.format(catalog="pg_class")} ORDER BY o.relname
"""  # noqa: S608  # words of our own
_FUNCTIONS = f"""
SELECT o.oid::regprocedure::text FROM pg_catalog.pg_proc o
WHERE o.pronamespace = %s::regnamespace AND pg_get_userbyid(o.proowner) <> %s
AND {_OF_NO_EXTENSION.format(catalog="pg_proc")} ORDER BY 1
"""  # noqa: S608


_GRANTED = """
SELECT o.relname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END,
       a.privilege_type, o.attname
FROM (SELECT relname, relacl AS acl, NULL AS attname, relnamespace FROM pg_catalog.pg_class
      UNION ALL
      SELECT c.relname, t.attacl, t.attname, c.relnamespace
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped) o,
     aclexplode(o.acl) a
WHERE o.relnamespace = %s::regnamespace
"""


def _relations(connection: BaseDatabaseWrapper) -> list[tuple[str, str, str]]:
    """(kind, name, owner) of tables, views and sequences in the schema."""
    with connection.cursor() as cursor:
        cursor.execute(_RELATIONS, [SCHEMA])
        return list(cursor.fetchall())


def _owned_sequences(connection: BaseDatabaseWrapper) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.relname FROM pg_catalog.pg_class o JOIN pg_catalog.pg_depend d ON d.objid = o.oid"
            " AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"
            " WHERE o.relkind = 'S' AND o.relnamespace = %s::regnamespace",
            [SCHEMA],
        )
        return {row[0] for row in cursor.fetchall()}


def _granted(connection: BaseDatabaseWrapper) -> Mapping[tuple[str, str], set[str]]:
    """Verbs, and verbs of columns, by (relation, role), PUBLIC among the roles. Without what owners have."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(_GRANTED, [SCHEMA])
        for relation, role, verb, column in cursor.fetchall():
            found[relation, role].add(verb if column is None else of_column(verb, column))
    return found


def _plain(*sql: str) -> list[Statement]:
    return [Statement(sql=text, shown=text) for text in sql]
