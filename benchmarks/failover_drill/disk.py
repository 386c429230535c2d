"""A full disk: the database's tables live on a small one, which something else fills."""

from __future__ import annotations

import time

import psycopg

from tests.clusters import Cluster
from tests.servers import DATABASE

SIZE = "96m"
FULL_SECONDS = 5.0


def prepare(cluster: Cluster) -> None:
    """Moves the still empty database onto the small disk; the write-ahead log stays where there is room."""
    member = cluster.primary
    with psycopg.connect(member.url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{member.small_disk_inside}'")
        connection.execute(f"ALTER DATABASE {DATABASE} SET TABLESPACE small")


def full_for_a_while(cluster: Cluster) -> tuple[float, float | None]:
    fault = time.monotonic()
    cluster.primary.fill_disk()
    time.sleep(FULL_SECONDS)
    relief = time.monotonic()
    cluster.primary.free_disk()
    return fault, relief
