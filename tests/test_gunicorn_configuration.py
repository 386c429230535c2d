"""gunicorn's master stays clear of the desk: after a reload its workers run on the code and settings of now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.desk import get, served
from tests.run import PROJECT
from tests.test_serving_metrics import desk, figures, soon, workers_of

pytestmark = pytest.mark.once

LOADS = """
import runpy, sys
runpy.run_path("emo_site/gunicorn_conf.py")
print(sorted(name for name in sys.modules if name.split(".")[0] in {"emo_site", "monitoring", "orders", "django"}))
"""


def test_nothing_of_the_desk_is_imported_by_the_master() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADS], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_after_a_reload_new_workers_go_on_counting(tmp_path: Path) -> None:
    environment, _ = desk(tmp_path)
    missing = ("emo_http_requests_total", "GET", "404", "none")
    with served(environment) as port:
        get(port, "/no/such/page")
        [old] = workers_of(port)
        os.kill(old.ppid(), signal.SIGHUP)
        assert soon(lambda: old.pid not in {each.pid for each in workers_of(port)})
        get(port, "/no/such/page")
        assert figures(port)[missing] == 2


def test_a_worker_that_crashes_says_where_and_another_one_takes_its_place(tmp_path: Path) -> None:
    environment, _ = desk(tmp_path)
    with served(environment, errors=tmp_path / "log") as port:
        [old] = workers_of(port)
        os.kill(old.pid, signal.SIGSEGV)
        assert soon(lambda: [each.pid for each in workers_of(port)] not in ([], [old.pid]))
        assert get(port, "/healthz")[0] == 200
    log = (tmp_path / "log").read_text()
    assert "Fatal Python error: Segmentation fault" in log
    assert "most recent call first" in log
