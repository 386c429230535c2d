"""The command line as cron sees it: by its exit status."""

from __future__ import annotations

from pathlib import Path

from tests.desk import manage, sqlite_desk


def test_unforeseen_error_has_an_exit_status_that_means_could_not(tmp_path: Path) -> None:
    """1 means "rows went to quarantine", "not proven" or "something was refused", by the command."""
    ran = manage("shell", "-c", "[].pop()", environment=sqlite_desk(tmp_path))
    assert ran.status == 2
    assert ran.err.startswith("Traceback")
    assert ran.err.endswith("IndexError: pop from empty list\n")
