"""Proves what the desk's roles may do and what not: by trying, as each of them, in transactions that are rolled back.

"Refused" means SQLSTATE 42501 (insufficient privilege) and nothing else: a statement that fails because a table is
empty, or because a trigger objects, proves nothing about the role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from emo_site.db.roles import (
    SCHEMA,
    SEES_STATISTICS,
    VERBS,
    Roles,
    audit_tables,
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
    return [*(_attributes(connection.connection, role) for role in roles.all), *tried, *_logins(connection, passwords)]


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
    of_app = privileges_of_app(tables)
    for table in tables:
        comment = f'COMMENT ON TABLE {SCHEMA}."{table}" IS NULL'
        yield Attempt(role=roles.migrator, statement=comment, expected=ALLOWED, routine=True)
        for role, verbs in ((roles.app, of_app[table]), (roles.readonly, privileges_of_reader(table))):
            for verb in VERBS:
                yield Attempt(
                    role=role,
                    statement=_touching_no_row(connection.connection, verb, table),
                    expected=ALLOWED if verb in verbs else REFUSED,
                    routine=table not in audits,
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


def _touching_no_row(connection: psycopg.Connection[Any], verb: str, table: str) -> str:
    """PostgreSQL asks for the privilege before it looks for rows."""
    name = f'{SCHEMA}."{table}"'
    if verb == "UPDATE":
        column = connection.execute(
            "SELECT quote_ident(attname) FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum LIMIT 1",
            [name],
        ).fetchone()[0]  # type: ignore[index]  # a table has a column
        return f"UPDATE {name} SET {column} = NULL WHERE false"  # noqa: S608  # names from the catalogue
    return {
        "SELECT": f"SELECT FROM {name} LIMIT 0",
        "INSERT": f"INSERT INTO {name} SELECT NULL WHERE false",
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


def _attributes(connection: psycopg.Connection[Any], role: str) -> Outcome:
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
        read_only = "on" if role.endswith("_readonly") else "off"
        attempt = Attempt(role=role, statement="log in; default_transaction_read_only", expected=read_only)
        try:
            with psycopg.connect(**{**given, "prepare_threshold": None}) as session:
                row = session.execute("SELECT current_setting('default_transaction_read_only')").fetchone()
                got = row[0] if row else ""
        except psycopg.Error as error:
            got = str(error).strip().splitlines()[0]
        yield Outcome(attempt=attempt, got=got)
