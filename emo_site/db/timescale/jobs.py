"""The jobs that TimescaleDB runs by itself, and which of them failed the last time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.backends.base.base import BaseDatabaseWrapper

# A job that never ran has run at minus infinity, which no datetime can be. Errors are told to a job's owner only.
_JOBS = """
SELECT j.job_id, j.proc_name::text, coalesce(j.hypertable_name::text, ''), coalesce(s.last_run_status, ''),
       nullif(s.last_run_started_at, '-infinity'), coalesce(s.total_failures, 0)
  FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id
 WHERE j.scheduled ORDER BY j.job_id
"""
_ERROR = """
SELECT coalesce(err_message, '') FROM timescaledb_information.job_errors
 WHERE job_id = %s ORDER BY start_time DESC LIMIT 1
"""
_FAILED = "Failed"


@dataclass(frozen=True, kw_only=True)
class Job:
    """`table` is empty for jobs of the whole database; `error` is the last one that this role may see."""

    number: int
    procedure: str
    table: str
    failed: bool
    """The last run."""
    failures: int
    last_run_at: datetime | None
    error: str = ""

    @property
    def title(self) -> str:
        return f"{self.procedure} of {self.table}" if self.table else self.procedure


def look_at(connection: BaseDatabaseWrapper) -> tuple[Job, ...]:
    """Of a database that has the extension."""
    with connection.cursor() as cursor:
        cursor.execute(_JOBS, [])
        rows = cursor.fetchall()
        cursor.execute("SELECT to_regclass('timescaledb_information.job_errors') IS NOT NULL", [])
        has_errors = cursor.fetchone()[0]
        found = []
        for number, procedure, table, status, at, failures in rows:
            error = ""
            if status == _FAILED and has_errors:
                cursor.execute(_ERROR, [number])
                error = (cursor.fetchone() or ("",))[0]
            found.append(
                Job(
                    number=number,
                    procedure=procedure,
                    table=table,
                    failed=status == _FAILED,
                    failures=failures,
                    last_run_at=at,
                    error=error,
                )
            )
    return tuple(found)
