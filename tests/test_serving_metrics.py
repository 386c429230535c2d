"""Metrics and log of a desk behind gunicorn: all workers together, no secret, and while the database is away."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.desk import get, manage, served, soon, sqlite_desk
from tests.servers import postgresql_server

TOKEN, KEY, AUDIT = "metrics-token-of-32-characters-or-more", "k3y-" * 15, "aud1t-key-" * 4
COOKIE = "c00kie-of-somebody"


def figures(port: int, **headers: str) -> dict[tuple[str, ...], float]:
    connection = HTTPConnection("127.0.0.1", port, timeout=15)
    connection.request("GET", "/metrics", headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.status == 200, text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def desk(folder: Path) -> tuple[dict[str, str], Path]:
    """Its environment, and the folder for temporary files that it alone uses."""
    temporary = folder / "temporary"
    temporary.mkdir()
    return {**sqlite_desk(folder), "TMPDIR": str(temporary)}, temporary


def workers_of(port: int) -> list[psutil.Process]:
    [master] = [
        each
        for each in psutil.Process().children()
        if f"127.0.0.1:{port}" in each.cmdline() and "gunicorn" in each.cmdline()
    ]
    return master.children()


@pytest.mark.once
def test_every_worker_tells_the_counts_of_all(tmp_path: Path) -> None:
    environment, temporary = desk(tmp_path)
    missing = ("emo_http_requests_total", "GET", "404", "none")
    with served(environment, workers=2) as port:
        asked = 0

        def each_has_answered() -> bool:
            nonlocal asked
            with ThreadPoolExecutor(8) as pool:
                asked += len(list(pool.map(lambda number: get(port, f"/no/such/{number}"), range(40))))
            [folder] = temporary.glob("emo-metrics-*")
            counting = {path.name for path in folder.glob("counter_*.db")}
            return counting == {f"counter_{each.pid}.db" for each in workers_of(port)}

        # One that is quick may take all of some.
        assert soon(each_has_answered)
        # Whoever answers.
        assert {figures(port)[missing] for _ in range(10)} == {float(asked)}
        assert soon(lambda: figures(port)["emo_db_statement_duration_seconds_count", "default"] > 0)
        [folder] = temporary.glob("emo-metrics-*")

        victim = workers_of(port)[0].pid
        os.kill(victim, signal.SIGKILL)
        assert soon(lambda: victim not in {each.pid for each in workers_of(port)})
        # What it counted stays; what it had in hand does not.
        assert soon(lambda: not (folder / f"gauge_livesum_{victim}.db").exists())
        assert figures(port)[missing] == asked
        assert figures(port)["emo_http_requests_in_progress",] == 1
    assert list(temporary.glob("emo-metrics-*")) == []


@pytest.mark.once
def test_a_new_server_does_not_tell_what_an_earlier_one_counted(tmp_path: Path) -> None:
    environment, _ = desk(tmp_path)
    for _ in range(2):
        with served(environment) as port:
            get(port, "/no/such/page")
            assert figures(port)["emo_http_requests_total", "GET", "404", "none"] == 1


@pytest.mark.once
def test_the_log_in_staging_is_json_has_ids_and_no_secrets(tmp_path: Path) -> None:
    environment, _ = desk(tmp_path)
    environment |= {
        "EMO_ENV": "staging",
        "SECRET_KEY": KEY,
        "EMO_AUDIT_KEY": AUDIT,
        "EMO_METRICS_TOKEN": TOKEN,
        "ALLOWED_HOSTS": "desk.example.com",
    }
    log = tmp_path / "log"
    with served(environment, errors=log) as port:
        assert get(port, "/metrics")[0] == 403
        assert figures(port, Authorization=f"Bearer {TOKEN}")["emo_database_up", "default"] == 1
        connection = HTTPConnection("127.0.0.1", port, timeout=15)
        for path in (f"/reports/?token={TOKEN}&key={KEY}", f"/no/such?password={AUDIT}"):
            connection.request(
                "GET",
                path,
                headers={
                    "Host": "desk.example.com",
                    "X-Request-ID": "proxy-0001",
                    "Cookie": f"sessionid={COOKIE}",
                    "X-Forwarded-Proto": "https",
                },
            )
            response = connection.getresponse()
            response.read()
            assert response.getheader("X-Request-ID") == "proxy-0001"
        connection.close()
        # Turned away by its host, with a line of Django's own.
        get(port, f"/reports/?token={TOKEN}")
    text = log.read_text()
    for secret in (TOKEN, KEY, AUDIT, COOKIE):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger", "message", "environment"} <= line.keys() for line in lines)
    assert {line["environment"] for line in lines} == {"staging"}
    accesses = [line for line in lines if line["logger"] == "gunicorn.access"]
    assert [line["message"].split('"')[1] for line in accesses if line.get("request_id") == "proxy-0001"] == [
        "GET /reports/?token=***&key=*** HTTP/1.1",
        "GET /no/such?password=*** HTTP/1.1",
    ]
    assert "django.security.DisallowedHost" in {line["logger"] for line in lines}


@pytest.mark.once
def test_what_workers_and_commands_log_is_on_record(tmp_path: Path) -> None:
    environment, _ = desk(tmp_path)
    failing = "import logging; logging.getLogger('emo.audit').error('lost'); raise ValueError('a mistake')"
    assert manage("shell", "-c", failing, environment=environment).status == 2
    with served(environment) as port:
        get(port, "/no/such/page")
    # The worker wrote as it ended.
    with sqlite3.connect(tmp_path / "desk.sqlite") as database:
        errors = database.execute("SELECT process, kind, level, count, message FROM error_minutes ORDER BY kind")
        assert errors.fetchall() == [
            ("manage-shell", "audit", "error", 1, "lost"),
            ("manage-shell", "command", "error", 1, "manage.py shell failed: ValueError: a mistake"),
        ]
        assert database.execute("SELECT requests, failures FROM request_minutes").fetchall() == [(1, 0)]


@pytest.mark.cluster
def test_metrics_answer_while_the_database_is_stopped_and_errors_are_recorded_afterwards() -> None:
    with postgresql_server() as server:
        environment = {"EMO_DB_URL": server.url}
        assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
        with served(environment) as port:
            assert figures(port)["emo_database_up", "default"] == 1
            assert soon(lambda: figures(port).get(("emo_db_pool_max_connections", "default")) == 5)
            server.stop()
            time.sleep(1.1)
            started = time.monotonic()
            found = figures(port)
            assert time.monotonic() - started < 4
            assert found["emo_database_up", "default"] == 0
            assert found["emo_part_up", "orders"] == 0
            assert get(port, "/reports/orders/")[0] in (302, 503)
            assert get(port, "/admin/login/")[0] in (200, 503)
            server.start()
            assert soon(lambda: figures(port)["emo_database_up", "default"] == 1)
            assert soon(lambda: _recorded(environment) > 0)


def _recorded(environment: dict[str, str]) -> int:
    ran = manage(
        "shell",
        "--verbosity",
        "0",
        "-c",
        "from monitoring.models import RequestMinute as R; print(sum(R.objects.values_list('requests', flat=True)))",
        environment=environment,
    )
    return int(ran.out.split()[-1]) if ran.status == 0 else 0
