"""manage.py collectstatic: whole files or none, by one process at a time, while a desk serves the old ones."""

from __future__ import annotations

import fcntl
import io
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.once


@pytest.fixture
def root(settings: Any, tmp_path: Path) -> Path:
    """Where static files go, in a folder that is not there yet."""
    settings.STATIC_ROOT = tmp_path / "data" / "static"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    return tmp_path / "data" / "static"


def test_it_waits_for_another_process_and_says_so(root: Path) -> None:
    said = io.StringIO()
    root.parent.mkdir()
    waiting = threading.Thread(
        target=call_command,
        args=("collectstatic",),
        kwargs={"interactive": False, "verbosity": 0, "stderr": said},
        daemon=True,
    )
    with root.with_name("static.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        waiting.start()
        give_up_at = time.monotonic() + 20
        while not said.getvalue() and time.monotonic() < give_up_at:
            time.sleep(0.05)
        assert said.getvalue() == f"Another process is collecting static files into {root}; waiting for it.\n"
        assert not root.exists()
    waiting.join(60)
    assert (root / "staticfiles.json").exists()
    assert list(root.glob("desk/*.css.gz"))


def collect(**options: Any) -> None:
    call_command("collectstatic", interactive=False, verbosity=0, **options)


def test_no_file_is_away_or_half_written_while_it_is_collected_anew(root: Path) -> None:
    collect()
    served = {path: path.read_bytes() for path in root.rglob("*.*.css*")}
    done = threading.Event()
    wrong: list[Path] = []

    def read() -> None:
        while not done.is_set():
            for path, content in served.items():
                if not path.exists() or path.read_bytes() != content:
                    wrong.append(path)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for each in readers:
        each.start()
    collect()
    done.set()
    for each in readers:
        each.join(10)
    assert served
    assert wrong == []


def test_one_that_fails_leaves_all_as_it_was(root: Path, settings: Any, tmp_path: Path) -> None:
    collect()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "broken.css").write_text("body { background: url(nowhere.png) }")
    settings.STATICFILES_DIRS = [broken]
    with pytest.raises(ValueError, match=r"nowhere\.png"):
        collect()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in root.parent.iterdir()) == ["static", "static.lock"]


def test_files_of_an_earlier_release_stay_until_they_are_cleared(root: Path) -> None:
    collect()
    old = root / "desk" / "site.000000000000.css"
    old.write_text("")
    root.with_name("static.new").mkdir()
    collect()
    assert old.exists()
    collect(clear=True)
    assert not old.exists()
    assert (root / "staticfiles.json").exists()


def test_a_dry_run_writes_nothing(root: Path) -> None:
    call_command("collectstatic", interactive=False, dry_run=True, stdout=io.StringIO())
    assert not root.parent.exists()


def test_a_folder_that_cannot_be_made_is_named(root: Path) -> None:
    root.parent.write_text("a file")
    with pytest.raises((CommandError, OSError), match="data"):
        collect()
