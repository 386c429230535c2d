"""The databases of one PostgreSQL server: created like another, described, renamed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError

from emo_site.db.backup import session
from emo_site.db.backup.errors import CouldNot

# The database that is always there, from which others are made, renamed and dropped.
MAINTENANCE = "postgres"
# A name longer than this is cut by the server without a word.
NAME_BYTES = 63
SEND_AWAY_SECONDS = 0.1


def create_statement(server: BaseDatabaseWrapper, name: str, *, like: str) -> str:
    """CREATE DATABASE with owner, locale, tablespace and limit of `like`, where there is such a database."""
    options = ["TEMPLATE template0", "ENCODING 'UTF8'"]
    model = described(server, like) if like else None
    if model is not None:
        options += [f"OWNER {quoted(server, str(one(server, 'SELECT pg_get_userbyid(%s)', [model['datdba']])))}"]
        provider = {"c": "libc", "i": "icu", "b": "builtin"}[model["datlocprovider"]]
        options += [f"LOCALE_PROVIDER {provider}"]
        options += [f"LC_COLLATE {text(model['datcollate'])}", f"LC_CTYPE {text(model['datctype'])}"]
        tablespace = one(server, "SELECT spcname FROM pg_tablespace WHERE oid = %s", [model["dattablespace"]])
        options += [f"TABLESPACE {quoted(server, str(tablespace))} CONNECTION LIMIT {int(model['datconnlimit'])}"]
        # PostgreSQL 17 renamed the column.
        if locale := model.get("datlocale") or model.get("daticulocale"):
            options += [f"{provider.upper()}_LOCALE {text(locale)}"]
    return f"CREATE DATABASE {quoted(server, name)} {' '.join(options)}"


def inherited(server: BaseDatabaseWrapper, name: str, *, like: str) -> Iterator[str]:
    """Statements that give the new database the settings and the grants that `like` has; pg_dump leaves them out."""
    database = quoted(server, name)
    for role, setting in rows_of(server, _SETTINGS, [like]):
        key, _, value = setting.partition("=")
        whom = f"ROLE {quoted(server, role)} IN DATABASE {database}" if role else f"DATABASE {database}"
        # These hold lists that are quoted already.
        yield f"ALTER {whom} SET {quoted(server, key)} TO {value if key in _LISTS else text(value)}"
    model = described(server, like)
    if model is not None and model["datacl"] is not None:
        # PUBLIC may connect unless somebody took that away.
        yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"
    for role, privilege, grantable in rows_of(server, _GRANTS, [like]):
        whom = quoted(server, role) if role else "PUBLIC"
        yield f"GRANT {privilege} ON DATABASE {database} TO {whom}{' WITH GRANT OPTION' if grantable else ''}"


_LISTS = frozenset({"search_path", "session_preload_libraries", "local_preload_libraries", "temp_tablespaces"})
_SETTINGS = """
SELECT r.rolname, unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
  LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE d.datname = %s
"""
_GRANTS = """
SELECT r.rolname, a.privilege_type, a.is_grantable FROM pg_database d, aclexplode(d.datacl) a
  LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE d.datname = %s AND a.grantee <> d.datdba
"""


def rename(server: BaseDatabaseWrapper, alias: str, renames: list[tuple[str, str]]) -> None:
    """All of the renames in one transaction, whoever is connected. Raises CouldNot; every name is then as it was."""
    try:
        with _others_sent_away(server, [name for name, _ in renames]):
            server.set_autocommit(False)
            for name, new in renames:
                execute(server, f"ALTER DATABASE {quoted(server, name)} RENAME TO {quoted(server, new)}")
            server.commit()
    except DatabaseError as error:
        server.rollback()
        reason = str(error).strip().splitlines()[0]
        raise CouldNot(f"{alias}: the swap failed, every name is as it was ({reason})") from error
    finally:
        server.set_autocommit(True)


@contextmanager
def _others_sent_away(server: BaseDatabaseWrapper, names: list[str]) -> Iterator[None]:
    """While the block runs, connections to these databases are ended, again and again.

    A rename locks out newcomers and waits 5 s for those who are there. To end them before it begins is not enough:
    a pool that lost its connections has new ones within milliseconds.
    """
    done = threading.Event()
    sender = threading.Thread(target=_send_away, args=(server.alias, dict(server.settings_dict), names, done))
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def _send_away(alias: str, settings: session.Settings, names: list[str], done: threading.Event) -> None:
    question = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)"
    # Where it can't connect, or may not end somebody, the rename says whom it waited for.
    with suppress(CouldNot), session.opened(alias, settings) as connection:
        while not done.wait(SEND_AWAY_SECONDS):
            rows_of(connection, question, [names])


def described(server: BaseDatabaseWrapper, name: str) -> dict[str, Any] | None:
    """The row of pg_database, whose columns differ from version to version."""
    rows = rows_of(server, "SELECT to_jsonb(d)::text FROM pg_database d WHERE datname = %s", [name])
    if not rows:
        return None
    found: dict[str, Any] = json.loads(rows[0][0])
    return found


def quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def rows_of(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def one(connection: BaseDatabaseWrapper, sql: str, parameters: list[Any] | None = None) -> Any:
    return rows_of(connection, sql, parameters or [])[0][0]
