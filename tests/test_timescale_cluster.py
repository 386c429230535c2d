"""Replication of hypertables, which the drill relies on where the desk runs on TimescaleDB."""

from __future__ import annotations

import pytest

from tests.clusters import replicated


@pytest.mark.timescaledb
def test_hypertable_is_replicated_and_writable_after_promotion() -> None:
    with replicated(timescale=True) as cluster:
        cluster.primary.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        cluster.primary.execute("CREATE TABLE seen (at timestamptz NOT NULL)")
        cluster.primary.query("SELECT create_hypertable('seen', 'at')")
        cluster.primary.execute("INSERT INTO seen VALUES ('2026-01-01Z'), ('2026-03-01Z')")
        cluster.primary.kill()
        cluster.promote()
        cluster.primary.execute("INSERT INTO seen VALUES ('2026-05-01Z')")
        assert cluster.primary.query("SELECT count(*) FROM seen") == (3,)
