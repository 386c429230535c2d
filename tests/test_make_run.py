"""The README's first command, to the letter: a copy of the project, a new virtual environment, a desk to log in to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import pytest

from tests.desk import environment_of, soon
from tests.servers import _free_port
from tests.upgrades.release import release

pytestmark = pytest.mark.once

# Whoever follows the README is in no virtual environment yet.
_OURS = ("VIRTUAL_ENV", "PYTHONPATH", "PYTEST_", "MAKE", "MFLAGS")


def test_the_first_command_installs_migrates_and_serves_a_desk_with_a_month_of_orders(tmp_path: Path) -> None:
    place, port = release(tmp_path, {}), _free_port()
    given = {name: value for name, value in environment_of({}).items() if not name.startswith(_OURS)}
    command = ["make", "run", f"ADDRESS=127.0.0.1:{port}"]
    with (tmp_path / "said").open("w") as said:
        running = subprocess.Popen(
            command, cwd=place, env=given, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    try:
        assert soon(lambda: running.poll() is not None or answers(port), 300)
        told = (tmp_path / "said").read_text()
        assert running.poll() is None, told
        assert (place / ".venv/bin/gunicorn").exists()
        [(name, password)] = re.findall(r"^Log in as (\S+) with the password (\S+)", told, re.MULTILINE)
        page = reports(port, name, password)
        assert "<strong>Demo data.</strong>" in page
        assert re.search(r">\s*Orders by status\s*<", page)
        assert (place / "data/static/staticfiles.json").exists()
        assert "Traceback" not in (tmp_path / "said").read_text()
    finally:
        # As a terminal does for Ctrl-C.
        os.killpg(running.pid, signal.SIGINT)
        running.wait(60)
        # Of hundreds of megabytes.
        shutil.rmtree(place)
    assert not answers(port)


def answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def reports(port: int, name: str, password: str) -> str:
    """The page of orders, after logging in."""
    visitor = build_opener(HTTPCookieProcessor())
    page = f"http://127.0.0.1:{port}/admin/login/?next=/reports/orders/"
    with visitor.open(page, timeout=60) as answer:
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', answer.read().decode())[0]
    fields = {"csrfmiddlewaretoken": token, "username": name, "password": password, "next": "/reports/orders/"}
    with visitor.open(page, urlencode(fields).encode(), timeout=60) as answer:
        assert answer.url.endswith("/reports/orders/")
        return str(answer.read().decode())
