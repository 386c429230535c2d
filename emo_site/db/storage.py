"""What a PostgreSQL server keeps on its disk: the database, WAL that slots hold back, blocks that were damaged."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

# A standby writes no WAL of its own: what it has received counts.
_SLOTS = """
SELECT slot_name::text, active, coalesce(wal_status, ''),
       coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                     ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint
  FROM pg_catalog.pg_replication_slots ORDER BY 4 DESC, 1
"""
# Blocks of shared catalogs are counted under no database. NULL: the server keeps no checksums.
_FACTS = """
SELECT pg_database_size(current_database()),
       (SELECT sum(checksum_failures)::bigint FROM pg_catalog.pg_stat_database
         WHERE datname = current_database() OR datname IS NULL),
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'),
       coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true)
"""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """`held` bytes of WAL can't go for it. `state` is the server's word: reserved, extended, unreserved, lost."""

    name: str
    active: bool
    state: str
    held: int


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Bytes."""

    free: int
    total: int

    @property
    def free_percent(self) -> float:
        return 100 * self.free / max(1, self.total)


@dataclass(frozen=True, kw_only=True)
class Storage:
    """`size` in bytes. `damaged` blocks since statistics were reset; None where the server keeps no checksums.

    `disk` is known only of a server on this machine, to a role that may see where it keeps its data.
    """

    size: int
    damaged: int | None
    disk: Disk | None
    slots: tuple[Slot, ...]


def look_at(connection: BaseDatabaseWrapper) -> Storage:
    with connection.cursor() as cursor:
        cursor.execute(_FACTS, [])
        size, damaged, folder, here = cursor.fetchone()
        cursor.execute(_SLOTS, [])
        slots = tuple(
            Slot(name=name, active=active, state=state, held=max(0, held))
            for name, active, state, held in cursor.fetchall()
        )
    return Storage(size=size, damaged=damaged, disk=_disk(folder) if here and folder else None, slots=slots)


def _disk(folder: str) -> Disk | None:
    # A server in a container of this machine names a folder that is not there.
    if not Path(folder).is_dir():
        return None
    usage = shutil.disk_usage(folder)
    return Disk(free=usage.free, total=usage.total)
