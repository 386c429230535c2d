"""SQLite has no roles, and says so."""

from __future__ import annotations

import pytest

from tests.desk import manage


@pytest.mark.sqlite
def test_sqlite_is_refused_by_name(tmp_path: object) -> None:
    environment = {"EMO_DB_URL": f"sqlite:///{tmp_path}/desk.sqlite"}
    assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
    ran = manage("create_roles", environment=environment)
    assert ran.status == 2
    assert "default: SQLite has no roles." in ran.err
