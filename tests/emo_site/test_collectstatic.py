"""manage.py collectstatic: one process at a time, since two delete the hashed files of each other."""

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


def test_a_dry_run_writes_nothing(root: Path) -> None:
    call_command("collectstatic", interactive=False, dry_run=True, stdout=io.StringIO())
    assert not root.parent.exists()


def test_a_folder_that_cannot_be_made_is_named(root: Path) -> None:
    root.parent.write_text("a file")
    with pytest.raises((CommandError, OSError), match="data"):
        call_command("collectstatic", interactive=False, verbosity=0)
