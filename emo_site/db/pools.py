"""The connection pools of this process, in figures. Looking opens no pool and asks no server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connections

from emo_site.db.waits import WaitFigures


@dataclass(frozen=True, kw_only=True)
class PoolFigures:
    """One database's pool. Where there is none, `reason` says why and every figure is None.

    `waits` is the desk's own count; `connections_failed` and `connections_lost` are psycopg_pool's.
    """

    alias: str
    reason: str = ""
    min_size: int | None = None
    max_size: int | None = None
    size: int | None = None
    in_use: int | None = None
    available: int | None = None
    waits: WaitFigures | None = None
    connections_made: int | None = None
    connections_failed: int | None = None
    connections_lost: int | None = None

    @property
    def exhausted(self) -> bool:
        """Every connection that the pool may have is out."""
        return self.in_use is not None and self.in_use == self.max_size


def figures() -> tuple[PoolFigures, ...]:
    """Of every database, in the order of the settings."""
    return tuple(figures_of(alias) for alias in settings.DATABASES)


def figures_of(alias: str) -> PoolFigures:
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return PoolFigures(alias=alias, reason="SQLite is a file: each thread opens it by itself")
    if not connection.settings_dict["OPTIONS"].get("pool"):
        return PoolFigures(alias=alias, reason="no pool is configured")
    # Not connection.pool: it would make one, and this process may have no use for it.
    pool = type(connection)._connection_pools.get(alias)  # type: ignore[attr-defined]  # PostgreSQL's wrapper
    if pool is None:
        return PoolFigures(alias=alias, reason="this process has not asked it for a connection yet")
    return _of(alias, pool)


def _of(alias: str, pool: Any) -> PoolFigures:
    found = pool.get_stats()
    # psycopg_pool leaves out what it has not counted yet.
    size, available = found.get("pool_size", 0), found.get("pool_available", 0)
    return PoolFigures(
        alias=alias,
        min_size=found["pool_min"],
        max_size=found["pool_max"],
        size=size,
        # Those being made or checked are counted as in use: nobody else can have them.
        in_use=size - available,
        available=available,
        waits=pool.waits.figures(),
        connections_made=found.get("connections_num", 0),
        connections_failed=found.get("connections_errors", 0),
        connections_lost=found.get("connections_lost", 0),
    )
