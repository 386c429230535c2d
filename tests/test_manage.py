"""The command line as cron sees it: by its exit status."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from tests.desk import manage, sqlite_desk


def test_unforeseen_error_has_an_exit_status_that_means_could_not(tmp_path: Path) -> None:
    """1 means "rows went to quarantine", "not proven" or "something was refused", by the command."""
    ran = manage("shell", "-c", "[].pop()", environment=sqlite_desk(tmp_path))
    assert ran.status == 2
    assert "CRITICAL emo.command: manage.py shell failed\nTraceback" in ran.err
    assert ran.err.endswith("IndexError: pop from empty list\n")


@pytest.mark.postgresql
@pytest.mark.parametrize("command", [("expire_orders",), ("create_admin",), ("apply_retention",)])
def test_wrong_password_is_said_and_not_shown(command: tuple[str, ...]) -> None:
    place = connection.settings_dict
    url = f"postgresql://{place['USER']}:hush-hush@{place['HOST']}:{place['PORT']}/{place['NAME']}"
    ran = manage(*command, environment={"EMO_ENV": "dev", "EMO_DB_URL": url, "EMO_DB_POOL_TIMEOUT_SECONDS": "1"})
    assert ran.status == 2
    assert "no connection could be had within 1.0 s (" in ran.err
    assert f'password authentication failed for user "{place["USER"]}"' in ran.err
    assert "hush-hush" not in ran.out + ran.err
    assert "Traceback" not in ran.err
