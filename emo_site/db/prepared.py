"""Statements that are asked again and again: planned once for each connection on PostgreSQL.

Django sends each statement as one text, which the server plans anew; of a statement that gathers from a dozen tables
planning takes longer than running. Django's wrappers (counting, logging, the outage's words) stay around these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakSet

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

from emo_site.db import pooler


class _PreparedCursor(psycopg.Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
        return super().execute(query, params, prepare=True, **kwargs)


def rows(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What the statement answers, as the driver gives it. Parameters are typed by the server: cast where it can't."""
    with _cursor(connection) as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def changed(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> int:
    """How many rows the statement (its last part) wrote."""
    with _cursor(connection) as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)


def changed_by_each(connection: BaseDatabaseWrapper, sql: str, parameters: Iterable[Sequence[Any]]) -> list[int]:
    """`changed` of one statement with many sets of parameters, sent without waiting for each answer."""
    counts: list[int] = []
    with _cursor(connection) as wrapped:
        cursor = wrapped.cursor

        def run(sql: str, many: Any, *args: Any) -> None:
            with connection.wrap_database_errors:
                cursor.executemany(sql, many, returning=True)
            while True:
                counts.append(int(cursor.rowcount))
                if not cursor.nextset():
                    break

        wrapped._execute_with_wrappers(sql, list(parameters), many=True, executor=run)
    return counts


def _cursor(connection: BaseDatabaseWrapper) -> Any:
    connection.ensure_connection()
    raw = connection.connection
    # Behind a pooler the next statement may meet a server that has prepared nothing: there each is planned anew.
    lasting = not pooler.between(connection.settings_dict)
    if lasting and raw not in _generic and raw.info.transaction_status == TransactionStatus.IDLE:
        # Left to itself the server plans five times anew, and statements with lists for ever. In a transaction it would
        # be undone with it.
        raw.execute("SET plan_cache_mode = force_generic_plan")
        # Django turns preparing off; its own cursors, which bind on the client, never prepare anyway.
        raw.prepare_threshold = 0
        _generic.add(raw)
    return connection._prepare_cursor(_PreparedCursor(raw))  # type: ignore[attr-defined]


# Connections that plan a prepared statement once. (Nothing else here prepares any.)
_generic: WeakSet[psycopg.Connection[Any]] = WeakSet()
