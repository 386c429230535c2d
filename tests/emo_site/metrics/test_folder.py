"""Each gunicorn has a folder of its own for its figures, and takes nobody else's away."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from emo_site.metrics import folder


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def make() -> Path:
    return folder.make(uid=os.geteuid(), gid=os.getegid())


def dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_it_is_for_its_user_alone_and_goes() -> None:
    made = make()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    (made / "counter_1.db").write_text("x")
    folder.remove(made)
    assert not made.exists()
    folder.remove(made)


def test_folders_of_the_dead_are_removed_those_of_the_living_stay(temporary: Path) -> None:
    dead, living = temporary / f"emo-metrics-{dead_pid()}-x", temporary / f"emo-metrics-{os.getppid()}-x"
    # In a container the last one had our pid.
    before = temporary / f"emo-metrics-{os.getpid()}-x"
    other = temporary / "emo-metrics-notes"
    for each in (dead, living, before, other):
        each.mkdir()
    made = make()
    assert {each for each in (dead, living, before, other) if each.exists()} == {living, other}
    assert made.exists()


def test_a_link_is_not_followed(temporary: Path) -> None:
    treasure = temporary / "treasure"
    treasure.mkdir()
    (treasure / "kept").write_text("x")
    (temporary / f"emo-metrics-{dead_pid()}-x").symlink_to(treasure)
    make()
    assert (treasure / "kept").exists()
