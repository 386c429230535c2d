"""What a hypertable is made of and what the server does to it by itself: chunks, their interval, policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# The value of timescaledb.license under which the server has policies and compression. The other one is "apache".
COMMUNITY = "timescale"
RETENTION, COMPRESSION = "policy_retention", "policy_compression"
_PERIOD_KEY = {RETENTION: "drop_after", COMPRESSION: "compress_after"}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A job of the server's own. `last_run` is None where it has not run yet; `last_status` as the server says it."""

    job_id: int
    period: timedelta
    last_run: datetime | None
    last_status: str
    next_run: datetime | None


def chunk_interval(connection: BaseDatabaseWrapper, table: str) -> timedelta:
    """How much time a new chunk will hold."""
    ((interval,),) = _rows(
        connection,
        "SELECT time_interval FROM timescaledb_information.dimensions WHERE hypertable_name = %s",
        [table],
    )
    found: timedelta = interval
    return found


def set_chunk_interval(connection: BaseDatabaseWrapper, table: str, interval: timedelta) -> None:
    """For chunks made from now on; those that exist stay as they are. Only the table's owner may."""
    _rows(connection, "SELECT set_chunk_time_interval(%s::regclass, %s::interval)", [table, interval])


def count_chunks(connection: BaseDatabaseWrapper, table: str) -> int:
    ((count,),) = _rows(
        connection, "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s", [table]
    )
    return int(count)


def chunks_before(connection: BaseDatabaseWrapper, table: str, cutoff: datetime) -> tuple[int, datetime | None]:
    """How many chunks hold nothing at or after the cutoff, and where the last of them ends."""
    ((count, end),) = _rows(
        connection,
        "SELECT count(*), max(range_end) FROM timescaledb_information.chunks"
        " WHERE hypertable_name = %s AND range_end <= %s",
        [table, cutoff],
    )
    return int(count), end


def drop_chunks(connection: BaseDatabaseWrapper, table: str, cutoff: datetime) -> int:
    """Drops the chunks that hold nothing at or after the cutoff; how many those were. Only the table's owner may."""
    return len(_rows(connection, "SELECT drop_chunks(%s::regclass, older_than => %s::timestamptz)", [table, cutoff]))


def policy(connection: BaseDatabaseWrapper, table: str, kind: str) -> Policy | None:
    """The server's job of this kind (RETENTION or COMPRESSION) for the table."""
    # A job that never ran has run at minus infinity, which no datetime can be.
    found = _rows(
        connection,
        "SELECT j.job_id, (j.config ->> %s)::interval, nullif(s.last_run_started_at, '-infinity'),"
        " coalesce(s.last_run_status, ''), nullif(j.next_start, '-infinity') FROM timescaledb_information.jobs j"
        " LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id"
        " WHERE j.hypertable_name = %s AND j.proc_name = %s",
        [_PERIOD_KEY[kind], table, kind],
    )
    if not found:
        return None
    job_id, period, last_run, last_status, next_run = found[0]
    return Policy(
        job_id=job_id,
        period=period,
        last_run=last_run,
        last_status=last_status,
        next_run=next_run,
    )


def set_policy(connection: BaseDatabaseWrapper, table: str, kind: str, period: timedelta | None) -> None:
    """Makes, changes (by removing first) or removes the server's job. Call it inside a transaction.

    Raises NotSupportedError under the Apache licence.
    """
    remove, add, argument = {
        RETENTION: ("remove_retention_policy", "add_retention_policy", "drop_after"),
        COMPRESSION: ("remove_compression_policy", "add_compression_policy", "compress_after"),
    }[kind]
    _rows(connection, f"SELECT {remove}(%s::regclass, if_exists => true)", [table])
    if period is not None:
        _rows(connection, f"SELECT {add}(%s::regclass, {argument} => %s::interval)", [table, period])


def run_job(connection: BaseDatabaseWrapper, job_id: int) -> None:
    """Runs it now and here. Not inside a transaction: the job commits by itself."""
    with connection.cursor() as cursor:
        cursor.execute("CALL run_job(%s)", [job_id])


def is_compressible(connection: BaseDatabaseWrapper, table: str) -> bool:
    ((enabled,),) = _rows(
        connection,
        "SELECT compression_enabled FROM timescaledb_information.hypertables WHERE hypertable_name = %s",
        [table],
    )
    return bool(enabled)


def make_compressible(connection: BaseDatabaseWrapper, table: str, *, segment_by: str, time_column: str) -> None:
    """Says how chunks are to be compressed, one segment for each value of a column that is asked for by itself."""
    quote = connection.ops.quote_name
    _rows(
        connection,
        f"ALTER TABLE {quote(table)} SET (timescaledb.compress, timescaledb.compress_segmentby = %s,"
        " timescaledb.compress_orderby = %s)",
        [quote(segment_by), f"{quote(time_column)} DESC, {quote('id')} DESC"],
    )


def rows_not_in_statistics(connection: BaseDatabaseWrapper, table: str) -> int:
    """Rows in compressed chunks, of which ANALYZE sees none; 0 where the table is no hypertable."""
    ((known,),) = _rows(connection, "SELECT to_regclass('_timescaledb_catalog.compression_chunk_size')", [])
    if known is None:
        return 0
    # A chunk that late rows came into has some outside the compressed part.
    ((rows,),) = _rows(
        connection,
        "SELECT sum(greatest(s.numrows_pre_compression - greatest(k.reltuples, 0), 0)) FROM pg_catalog.pg_inherits i"
        " JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid JOIN pg_catalog.pg_namespace n ON n.oid = k.relnamespace"
        " JOIN _timescaledb_catalog.chunk c ON c.schema_name = n.nspname AND c.table_name = k.relname"
        " JOIN _timescaledb_catalog.compression_chunk_size s ON s.chunk_id = c.id WHERE i.inhparent = %s::regclass",
        [table],
    )
    return int(rows or 0)


def size_in_bytes(connection: BaseDatabaseWrapper, table: str) -> int:
    """Of all chunks with their indexes."""
    ((size,),) = _rows(connection, "SELECT hypertable_size(%s::regclass)", [table])
    return int(size or 0)


def _rows(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []
