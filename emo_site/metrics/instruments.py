"""What every worker counts: the instruments of prometheus_client.

With PROMETHEUS_MULTIPROC_DIR set before this is imported (gunicorn_conf.py does) they count in files of that folder,
and a scrape adds up those of all workers; without it they count in this process alone. They are not in the library's
own registry, whose figures of one process would be told for those of all.
"""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector

from emo_site.db.statements import BOUNDS

# A second series for each one, of which the shared files know nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types

PROCESS = CollectorRegistry()
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

# Each fourth doubling of the statements' own buckets, 10 µs to 42 s: the counts fit without being divided up.
STATEMENT_STEP = 8
STATEMENT_BOUNDS = BOUNDS[::STATEMENT_STEP][:-1]
REQUEST_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("emo_http_requests", "Requests answered.", ("method", "view", "status"), registry=PROCESS)
REQUEST_SECONDS = Histogram(
    "emo_http_request_duration_seconds",
    "Time from the first middleware to the answer.",
    ("method", "view"),
    buckets=REQUEST_BOUNDS,
    registry=PROCESS,
)
IN_PROGRESS = Gauge(
    "emo_http_requests_in_progress", "Requests being answered.", registry=PROCESS, multiprocess_mode="livesum"
)

STATEMENTS = Histogram(
    "emo_db_statement_duration_seconds",
    "Statements sent to a database, failed ones included.",
    ("database",),
    buckets=STATEMENT_BOUNDS,
    registry=PROCESS,
)
STATEMENT_ERRORS = Counter(
    "emo_db_statement_errors",
    "Statements that failed, by SQLSTATE or the driver's name of the error.",
    ("database", "error"),
    registry=PROCESS,
)
SLOW_STATEMENTS = Counter(
    "emo_db_slow_statements", "Statements that took longer than EMO_DB_SLOW_MS.", ("database",), registry=PROCESS
)

POOL_CONNECTIONS = Gauge(
    "emo_db_pool_connections",
    "Connections of the workers' pools: in_use (those being made included), available.",
    ("database", "state"),
    registry=PROCESS,
    multiprocess_mode="livesum",
)
POOL_LIMIT = Gauge(
    "emo_db_pool_max_connections",
    "Connections that the workers' pools may have together.",
    ("database",),
    registry=PROCESS,
    multiprocess_mode="livesum",
)
POOL_WAITING = Gauge(
    "emo_db_pool_waiting",
    "Requests that wait for a connection.",
    ("database",),
    registry=PROCESS,
    multiprocess_mode="livesum",
)
POOL_REQUESTS = Counter(
    "emo_db_pool_requests", "Requests for a connection that have ended.", ("database",), registry=PROCESS
)
POOL_FAILED = Counter(
    "emo_db_pool_timeouts", "Requests that ended without a connection.", ("database",), registry=PROCESS
)
POOL_WAIT = Counter(
    "emo_db_pool_wait_seconds", "Time that requests waited for a connection.", ("database",), registry=PROCESS
)
POOL_LOST = Counter(
    "emo_db_pool_connections_lost", "Connections that were found broken.", ("database",), registry=PROCESS
)

LOGINS = Counter(
    "emo_logins", "Attempts to log in: logged_in, wrong_password, wrong_code, locked.", ("outcome",), registry=PROCESS
)

LOG_RECORDS = Counter(
    "emo_log_records", "Warnings and errors of the log, by kind.", ("kind", "level"), registry=PROCESS
)


def registry() -> CollectorRegistry:
    """What all workers have counted, or this process where it counts alone."""
    if FOLDER not in os.environ:
        return PROCESS
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # it has no types
    return shared
