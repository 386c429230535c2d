"""The program of docs/broker.md drops no order, whatever answers: without a broker, what it puts off comes at once."""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import MODULE, work

pytestmark = pytest.mark.once

ORDER = {"symbol": "SPY", "client_order_id": "a key/1"}
STAGED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b'HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 15\r\n\r\n{"quantity": 0}'
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 2\r\n\r\n{}"
AT_WORK = b"HTTP/1.1 409 Conflict\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}"
LATER = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: Fri, 27 Nov 2026 09:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
PROXY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 11\r\n\r\n<h1>502</h1"
NO_HTTP = b"not an answer\r\n\r\n"
NONE = b""
EAGER = f"""
import json, sys, {MODULE}
{MODULE}.app.conf.task_always_eager = True
{MODULE}.stage.delay(json.load(sys.stdin))
"""


@contextmanager
def answering(answers: list[bytes]) -> Iterator[tuple[str, list[str]]]:
    """The address of a server that gives each answer once, and the keys that it was asked with."""
    keys: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            headers = {}
            for line in iter(self.rfile.readline, b"\r\n"):
                name, _, value = line.decode().strip().partition(": ")
                headers[name.lower()] = value
            self.rfile.read(int(headers["content-length"]))
            keys.append(headers["idempotency-key"])
            self.wfile.write(answers[len(keys) - 1])

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", keys
        finally:
            server.shutdown()
            thread.join()


def done(folder: Path, desk: str, order: dict[str, Any]) -> list[dict[str, Any]]:
    """What of it is for a person to read."""
    with work(folder, EMO_DESK=desk, EMO_TOKEN="emo_x", EMO_BROKER="memory://") as program:
        ran = subprocess.run(
            [sys.executable, "-c", EAGER],
            cwd=folder,
            env={**program.environment, "PATH": os.environ["PATH"]},
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize(
    "first",
    [NONE, NO_HTTP, PROXY, BUSY, LATER, AT_WORK],
    ids=["none", "no HTTP", "a proxy's", "busy", "busy until", "still at work"],
)
def test_what_is_no_answer_of_the_desk_has_the_order_come_again_with_its_key(tmp_path: Path, first: bytes) -> None:
    with answering([first, first, STAGED]) as (desk, keys):
        assert done(tmp_path, desk, ORDER) == []
    assert keys == ["a%20key/1"] * 3


def test_what_the_desk_refuses_is_kept_with_its_words(tmp_path: Path) -> None:
    with answering([BUSY, REFUSED]) as (desk, keys):
        assert done(tmp_path, desk, ORDER) == [{"order": ORDER, "problem": '{"quantity": 0}'}]
    assert len(keys) == 2


@pytest.mark.parametrize("key", [None, ""], ids=["null", "empty"])
def test_an_order_without_a_key_is_kept_and_not_sent(tmp_path: Path, key: str | None) -> None:
    order = {**ORDER, "client_order_id": key}
    with answering([]) as (desk, keys):
        assert done(tmp_path, desk, order) == [
            {"order": order, "problem": "client_order_id is needed: without it an order could be staged twice"}
        ]
    assert keys == []
