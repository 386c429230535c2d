"""The example of docs/adding-a-probe.md works as it stands there, its own test included."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.desk import environment_of, manage, sqlite_desk
from tests.run import PROJECT

pytestmark = pytest.mark.once

PAGE = PROJECT / "docs" / "adding-a-probe.md"


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 3
    return found


@pytest.fixture
def project(tmp_path: Path, blocks: list[str]) -> Path:
    """A copy of the desk with the example put where the page says."""
    copy = tmp_path / "desk"
    left_out = shutil.ignore_patterns(".git", "data", "tests", ".venv", "node_modules", "__pycache__")
    shutil.copytree(PROJECT, copy, ignore=left_out)
    probe, setting, test = blocks
    (copy / "desk_probes.py").write_text(probe)
    settings = copy / "emo_site" / "settings.py"
    settings.write_text(f"{settings.read_text()}\n{setting}")
    (copy / "test_desk_probes.py").write_text(test)
    return copy


def _in(project: Path, *words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        check=False,
        cwd=project,
        env=environment_of(environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_example_is_asked_and_itsenvironment_of_test_passes(tmp_path: Path, project: Path) -> None:
    environment = sqlite_desk(tmp_path)
    checked = _in(project, "manage.py", "check", environment=environment)
    assert checked.returncode == 0, checked.stderr
    ran = _in(project, "manage.py", "healthcheck", "--json", "--no-record", environment=environment)
    [found] = [each for each in json.loads(ran.stdout)["components"] if each["name"] == "account equity"]
    assert (found["status"], found["message"]) == ("unknown", "no equity was ever reported")
    tested = _in(
        project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_desk_probes.py", environment=environment
    )
    assert "4 passed" in tested.stdout, tested.stdout + tested.stderr


def test_without_the_example_nobody_asks(tmp_path: Path) -> None:
    environment = sqlite_desk(tmp_path)
    names = {
        each["name"] for each in json.loads(manage("healthcheck", "--json", environment=environment).out)["components"]
    }
    assert "account equity" not in names
