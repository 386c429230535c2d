"""The desk behind its production server, as a load balancer and a browser meet it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.desk import get, manage, served, sqlite_desk
from tests.servers import black_hole, postgresql_server

pytestmark = pytest.mark.once


def test_alive_ready_and_static_files(tmp_path: Path) -> None:
    with served(sqlite_desk(tmp_path)) as port:
        assert json.loads(get(port, "/healthz")[1]) == {"status": "alive"}
        status, body, _ = get(port, "/readyz")
        assert status == 200
        assert json.loads(body) == {
            "status": "ready",
            "checks": {"database:default": "healthy", "migrations:default": "healthy"},
        }
        _, login, response = get(port, "/admin/login/")
        assert "default-src 'none'" in (response.getheader("Content-Security-Policy") or "")
        stylesheet = next(
            part for part in login.decode().split('"') if part.startswith("/static/") and part.endswith(".css")
        )
        status, _, response = get(port, stylesheet)
        assert status == 200
        assert "immutable" in (response.getheader("Cache-Control") or "")
        assert get(port, "/no/such/page")[0] == 404


def test_a_load_balancer_may_ask_by_address_and_plain_http(tmp_path: Path) -> None:
    desk = sqlite_desk(tmp_path)
    keys = {"SECRET_KEY": "s" * 60, "EMO_AUDIT_KEY": "a" * 32}
    environment = {**desk, **keys, "EMO_ENV": "staging", "ALLOWED_HOSTS": "desk.example.com"}
    with served(environment) as port:
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/readyz")[0] == 200
        # Everybody else must come to the host by its name.
        assert get(port, "/reports/orders/")[0] == 400


def test_not_ready_while_the_database_is_stopped_and_ready_again_afterwards() -> None:
    with postgresql_server() as server:
        environment = {"EMO_DB_URL": server.url}
        assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
        with served(environment) as port:
            assert get(port, "/readyz")[0] == 200
            server.stop()
            time.sleep(1.1)
            started = time.monotonic()
            status, body, _ = get(port, "/readyz")
            assert status == 503
            assert time.monotonic() - started < 5
            assert json.loads(body)["checks"]["database:default"] == "error"
            assert get(port, "/healthz")[0] == 200
            server.start()
            time.sleep(1.1)
            assert get(port, "/readyz")[0] == 200


def test_a_black_holed_time_series_database_does_not_exhaust_the_desk(tmp_path: Path) -> None:
    desk = sqlite_desk(tmp_path)
    with black_hole() as (host, hole_port):
        environment = {**desk, "EMO_TIMESERIES_URL": f"postgresql://emo:hush@{host}:{hole_port}/emo"}
        with served(environment) as port, ThreadPoolExecutor(20) as pool:
            started = time.monotonic()
            answers = list(pool.map(lambda _: get(port, "/readyz"), range(40)))
            seconds = time.monotonic() - started
    assert {status for status, _, _ in answers} == {503}
    for _, body, _ in answers:
        checks = json.loads(body)["checks"]
        assert checks["database:default"] == "healthy"
        assert checks["database:timeseries"] == "error"
        assert b"hush" not in body
    # One probe run of two seconds is shared by all who ask; one after the other they would take 80.
    assert seconds < 15


def test_a_hundred_questions_a_second_beside_a_black_hole_are_all_answered_right(tmp_path: Path) -> None:
    desk = sqlite_desk(tmp_path)
    with black_hole() as (host, hole_port):
        environment = {**desk, "EMO_TIMESERIES_URL": f"postgresql://emo:hush@{host}:{hole_port}/emo"}
        with served(environment) as port, ThreadPoolExecutor(100) as pool:
            begin = time.monotonic()

            def ask(number: int) -> tuple[int, dict[str, str], float]:
                time.sleep(max(0.0, begin + number / 100 - time.monotonic()))
                started = time.monotonic()
                status, body, _ = get(port, "/readyz")
                return status, json.loads(body)["checks"], time.monotonic() - started

            answers = list(pool.map(ask, range(800)))
    assert {status for status, _, _ in answers} == {503}
    for _, checks, _ in answers:
        assert checks["database:timeseries"] == checks["migrations:timeseries"] == "error"
        # Slow to answer where a hundred ask at once, and never an error.
        assert {checks["database:default"], checks["migrations:default"]} <= {"healthy", "warning"}
    # Who comes while the probes run has the answer of the run before; only the first ones wait for theirs. They run
    # for two seconds, and each asks anew where nothing is shared.
    assert sorted(seconds for _, _, seconds in answers)[400] < 1.8
