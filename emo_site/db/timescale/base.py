"""The database engine: django-timescaledb's PostgreSQL backend, mended to run on servers without the extension.

Its connections are guarded and its pool is the desk's own (emo_site/db/connections.py).
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import NO_DB_ALIAS
from django.utils.asyncio import async_unsafe
from psycopg import IsolationLevel
from timescale.db.backends.postgresql.base import DatabaseWrapper as PackageWrapper

from emo_site.db.connections import WRITABLE, DeskPool, GuardedConnection, OwnConnection, place_of


class DatabaseWrapper(PackageWrapper):  # type: ignore[misc]  # the package ships no types
    def prepare_database(self) -> None:
        # The package runs CREATE EXTENSION here, which ends `migrate` where the extension is not installed and kills
        # the connection where it is not preloaded. CreateHypertable asks the server first; it makes the extension.
        super(PackageWrapper, self).prepare_database()

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> GuardedConnection:
        """As Django's, but guarded without a pool too: migrations must not believe in a primary of yesterday either."""
        if self.pool is not None:
            made: GuardedConnection = super().get_new_connection(conn_params)
            return made
        connection = OwnConnection.connect(**conn_params)
        level = self.settings_dict["OPTIONS"].get("isolation_level")
        self.isolation_level = IsolationLevel.READ_COMMITTED if level is None else IsolationLevel(level)
        if level is not None:
            connection.isolation_level = self.isolation_level
        return connection

    @property
    def pool(self) -> DeskPool | None:
        """As Django's, which offers no way to say which pool and which connections."""
        options: dict[str, Any] | None = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        if self.alias not in self._connection_pools:
            parameters = {**self.get_connection_params(), "autocommit": True}
            pool = DeskPool(
                writable=parameters.get("target_session_attrs") in WRITABLE,
                place=place_of(parameters),
                kwargs=parameters,
                open=False,
                configure=self._configure_connection,
                **options,
            )
            # Several threads may come here at once; the pools are not open yet, and the first one wins.
            self._connection_pools.setdefault(self.alias, pool)
        made: DeskPool = self._connection_pools[self.alias]
        return made
