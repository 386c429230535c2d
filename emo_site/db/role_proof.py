"""Proves what the desk's roles may do and what not: by trying, as each of them, in transactions that are rolled back.

"Refused" means SQLSTATE 42501 (insufficient privilege) and nothing else: a statement that fails because a table is
empty, or because a trigger objects, proves nothing about the role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from emo_site.db.roles import (
    HIDDEN_COLUMNS,
    SCHEMA,
    SEES_STATISTICS,
    VERBS,
    Roles,
    audit_tables,
    columns_of,
    grants,
    of_column,
    privileges_of_app,
    privileges_of_reader,
    tables_of,
)

ALLOWED = "allowed"
REFUSED = "refused"
# A statement that is let through against expectation takes its locks: the desk must not queue behind them for long.
_LOCK_TIMEOUT = "500ms"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """`expected` is ALLOWED or REFUSED. `routine`: one of the many that only tell tables and verbs apart."""

    role: str
    statement: str
    expected: str
    routine: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`got` is ALLOWED, REFUSED, or the server's other words."""

    attempt: Attempt
    got: str

    @property
    def as_expected(self) -> bool:
        return self.got == self.attempt.expected


def prove(connection: BaseDatabaseWrapper, roles: Roles, passwords: Mapping[str, str]) -> list[Outcome]:
    """Tries everything in this database. Needs a superuser's connection; changes nothing."""
    connection.ensure_connection()
    tried = [Outcome(attempt=each, got=_try(connection.connection, each)) for each in attempts(connection, roles)]
    own = [attributes(connection.connection, role) for role in roles.all]
    return [*own, _grants(connection, roles), *tried, *_logins(connection, passwords)]


def attempts(connection: BaseDatabaseWrapper, roles: Roles) -> Iterator[Attempt]:
    connection.ensure_connection()
    superuser = connection.connection.execute("SELECT current_user").fetchone()[0]
    tables, audits = tables_of(connection), audit_tables()
    for role in roles.all:
        for statement in _beyond_any_role(superuser):
            yield Attempt(role=role, statement=statement, expected=REFUSED)
    for role in (roles.app, roles.readonly):
        for statement in _of_the_owner(roles, [table for table in audits if table in tables]):
            yield Attempt(role=role, statement=statement, expected=REFUSED)
    for role, expected in ((roles.migrator, ALLOWED), (roles.app, ALLOWED), (roles.readonly, REFUSED)):
        yield Attempt(role=role, statement="CREATE TEMPORARY TABLE role_proof (n int)", expected=expected)
    yield Attempt(role=roles.migrator, statement=f"CREATE TABLE {SCHEMA}.role_proof (n int)", expected=ALLOWED)
    of_app, columns = privileges_of_app(tables), columns_of(connection)
    for table in tables:
        comment = f'COMMENT ON TABLE {SCHEMA}."{table}" IS NULL'
        yield Attempt(role=roles.migrator, statement=comment, expected=ALLOWED, routine=True)
        of_reader = privileges_of_reader(table, columns[table])
        for role, privileges in ((roles.app, of_app[table]), (roles.readonly, of_reader)):
            yield from _of_rows(role, table, columns[table], privileges, routine=table not in audits)


def _of_rows(
    role: str, table: str, columns: Sequence[str], privileges: frozenset[str], *, routine: bool
) -> Iterator[Attempt]:
    for verb in VERBS:
        # Where the table's rows are closed, each column is: one that is open is enough to rewrite history.
        whole = verb in privileges or verb in ("DELETE", "TRUNCATE")
        for column in columns[:1] if whole else columns:
            yield Attempt(
                role=role,
                statement=_touching_no_row(verb, table, column),
                expected=ALLOWED if verb in privileges or of_column(verb, column) in privileges else REFUSED,
                routine=routine and column not in HIDDEN_COLUMNS.get(table, ()),
            )


def _beyond_any_role(superuser: str) -> list[str]:
    return [
        "CREATE ROLE role_proof",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SET session_replication_role = 'replica'",
        f'SET ROLE "{superuser}"',
    ]


def _of_the_owner(roles: Roles, audits: list[str]) -> list[str]:
    of_audit = [
        statement
        for table in audits
        for statement in (
            f'ALTER TABLE {SCHEMA}."{table}" DISABLE TRIGGER ALL',
            f'ALTER TABLE {SCHEMA}."{table}" ADD COLUMN role_proof int',
            f'DROP TABLE {SCHEMA}."{table}"',
            f'DROP FUNCTION {SCHEMA}."{table}_refuse_change"() CASCADE',
        )
    ]
    return [
        f"CREATE TABLE {SCHEMA}.role_proof (n int)",
        f"CREATE FUNCTION {SCHEMA}.role_proof() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA role_proof",
        f"SET ROLE {roles.migrator}",
        *of_audit,
    ]


def _touching_no_row(verb: str, table: str, column: str) -> str:
    """PostgreSQL asks for the privilege before it looks for rows."""
    name = f'{SCHEMA}."{table}"'
    return {
        "SELECT": f'SELECT "{column}" FROM {name} LIMIT 0',  # noqa: S608  # names from the catalogue
        "INSERT": f'INSERT INTO {name} ("{column}") SELECT NULL WHERE false',
        "UPDATE": f'UPDATE {name} SET "{column}" = NULL WHERE false',  # noqa: S608
        "DELETE": f"DELETE FROM {name} WHERE false",  # noqa: S608
        "TRUNCATE": f"TRUNCATE {name}",
    }[verb]


def _try(connection: psycopg.Connection[Any], attempt: Attempt) -> str:
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            connection.execute("SET LOCAL statement_timeout = '5s'")
            # And not SET ROLE alone: what the session's own user may do must not help.
            connection.execute(sql.SQL("SET LOCAL SESSION AUTHORIZATION {}").format(sql.Identifier(attempt.role)))
            connection.execute(attempt.statement)
    except InsufficientPrivilege:
        return REFUSED
    except psycopg.Error as error:
        return f"{error.sqlstate}: {str(error).strip().splitlines()[0]}"
    return ALLOWED


def _grants(connection: BaseDatabaseWrapper, roles: Roles) -> Outcome:
    """What can't be tried without a trace: rights to make triggers, to refer to a table, to set a sequence."""
    left = [statement.shown for statement in grants(connection, roles)]
    attempt = Attempt(role="all, PUBLIC", statement="grants on tables and sequences", expected="nothing to change")
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return Outcome(attempt=attempt, got=f"{left[0]}{more}" if left else attempt.expected)


def attributes(connection: psycopg.Connection[Any], role: str) -> Outcome:
    """What a role has without any privilege of its own: attributes, and roles that it belongs to."""
    row = connection.execute(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,"
        " ARRAY(SELECT pg_get_userbyid(roleid)::text FROM pg_catalog.pg_auth_members WHERE member = r.oid ORDER BY 1)"
        " FROM pg_catalog.pg_roles r WHERE rolname = %s",
        [role],
    ).fetchone()
    expected = f"only {SEES_STATISTICS}"
    if row is None:
        got = "there is no such role"
    else:
        names = ("superuser", "createdb", "createrole", "replication", "bypassrls")
        got = "only " + ", ".join([name for name, has in zip(names, row[:5], strict=True) if has] + row[5])
    return Outcome(attempt=Attempt(role=role, statement="attributes and memberships", expected=expected), got=got)


def _logins(connection: BaseDatabaseWrapper, passwords: Mapping[str, str]) -> Iterator[Outcome]:
    """Logs in with each password that was given; a reader's session must begin as a read-only one."""
    for role, password in passwords.items():
        parameters = {**connection.get_connection_params(), "user": role, "password": password}
        given = {key: value for key, value in parameters.items() if key not in ("cursor_factory", "context", "pool")}
        if "target_session_attrs" in given:
            # A reader's session is never "read-write", and a standby may not know the role yet.
            given["target_session_attrs"] = "primary"
        read_only = "on" if role.endswith("_readonly") else "off"
        attempt = Attempt(role=role, statement="log in; default_transaction_read_only", expected=read_only)
        try:
            with psycopg.connect(**{**given, "prepare_threshold": None}) as session:
                row = session.execute("SELECT current_setting('default_transaction_read_only')").fetchone()
                got = row[0] if row else ""
        except psycopg.Error as error:
            got = str(error).strip().splitlines()[0]
        yield Outcome(attempt=attempt, got=got)
