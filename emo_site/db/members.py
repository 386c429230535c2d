"""Each host of a database by itself: primary or standby, whether it takes writes, of which cluster, how far behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.db import connections
from psycopg.rows import tuple_row

from emo_site.db import deadline
from emo_site.db.connections import GuardedConnection
from emo_site.db.urls import hosts_of

# A server that was frozen still takes connections, and answers nothing.
ANSWER_WITHIN_SECONDS = 2.0

# `default_transaction_read_only` is how an old primary is fenced. Who may not see the details of pg_stat_wal_receiver
# finds its status NULL. A standby's own timeline is that of its last restart point, which may be minutes old.
_QUESTION = """
SELECT pg_is_in_recovery(),
       current_setting('transaction_read_only') = 'off' AND NOT pg_is_in_recovery(),
       (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery()
            THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                          (SELECT timeline_id FROM pg_control_checkpoint()))
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
       CASE WHEN pg_is_in_recovery()
            THEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming') END,
       pg_postmaster_start_time()
"""


@dataclass(frozen=True, kw_only=True)
class Member:
    """`host` as the settings write it. Where it did not answer, `error` says why and all else is None."""

    host: str
    port: str
    error: str = ""
    role: str | None = None
    takes_writes: bool | None = None
    cluster: str | None = None
    """The system identifier: the same on all servers that were copied from one another."""
    timeline: int | None = None
    lag_seconds: float | None = None
    """None on a primary, and where nothing was replayed yet."""
    streaming: bool | None = None
    """Whether a standby receives from somewhere; None on a primary."""
    started_at: datetime | None = None

    @property
    def place(self) -> str:
        return f"{self.host or 'local socket'}:{self.port or '5432'}"

    @property
    def answers(self) -> bool:
        return not self.error


def members_of(alias: str) -> list[Member]:
    """All hosts of a PostgreSQL database, asked at the same time; in the order of its settings.

    Ends within the connect time-out and ANSWER_WITHIN_SECONDS, and a second for the threads.
    """
    parameters = connections[alias].get_connection_params()
    hosts = hosts_of(connections[alias].settings_dict)
    seconds = float(parameters.get("connect_timeout", ANSWER_WITHIN_SECONDS)) + ANSWER_WITHIN_SECONDS + 1
    return _asked_at_once(parameters, hosts, seconds=seconds)


def _asked_at_once(parameters: dict[str, Any], hosts: Sequence[tuple[str, str]], *, seconds: float) -> list[Member]:
    slots: list[list[Member]] = [[] for _ in hosts]
    threads = [
        threading.Thread(target=_ask_into, args=(slot, parameters, host, port), daemon=True, name=f"host {host}:{port}")
        for slot, (host, port) in zip(slots, hosts, strict=True)
    ]
    ends_at = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return [
        slot[0] if slot else Member(host=host, port=port, error=f"no answer within {seconds:g} s")
        for slot, (host, port) in zip(slots, hosts, strict=True)
    ]


def _ask_into(slot: list[Member], parameters: dict[str, Any], host: str, port: str) -> None:
    try:
        slot.append(_ask(parameters, host, port))
    except psycopg.Error as error:
        # The driver's text names host, port and user, never the password.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        slot.append(Member(host=host, port=port, error=reason))


def _ask(parameters: dict[str, Any], host: str, port: str) -> Member:
    # Whatever its role: libpq would not connect to those that take no writes.
    own = {key: value for key, value in parameters.items() if key not in ("host", "port", "target_session_attrs")}
    own |= {key: value for key, value in (("host", host), ("port", port)) if value}
    with GuardedConnection.connect(**own, autocommit=True) as connection, deadline.within(ANSWER_WITHIN_SECONDS):
        row = connection.cursor(row_factory=tuple_row).execute(_QUESTION).fetchone()
    assert row is not None  # noqa: S101  # one row, whatever the server
    standby, takes_writes, cluster, timeline, lag, streaming, started_at = row
    return Member(
        host=host,
        port=port,
        role="standby" if standby else "primary",
        takes_writes=takes_writes,
        cluster=cluster,
        timeline=timeline,
        lag_seconds=None if lag is None else float(lag),
        streaming=streaming,
        started_at=started_at,
    )
