"""Of several workers one has the lease, for as long as its session lives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from emo_site.db.lease import Lease
from tests.servers import silent_server


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_lease_is_given_back_with_its_session() -> None:
    one, other = Lease("default", "watch"), Lease("default", "watch")
    elsewhere = Lease("default", "something else")
    assert (one.hold(), other.hold(), elsewhere.hold()) == (True, False, True)
    assert (one.hold(), other.hold()) == (True, False)
    one.let_go()
    assert (other.hold(), one.hold()) == (True, False)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(l.pid, 5000) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    assert one.hold() is True
    # Told once that its session is gone, then that somebody else has it.
    assert [other.hold(), other.hold()] == [None, False]
    for each in (one, other, elsewhere):
        each.let_go()


@pytest.mark.postgresql
@pytest.mark.django_db
def test_server_that_says_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_server() as (host, port):
        place = {**connections["default"].settings_dict, "HOST": host, "PORT": str(port)}
        monkeypatch.setattr(connections["default"], "settings_dict", place)
        assert Lease("default", "watch").hold() is None


def test_lease_on_sqlite_is_of_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnFile:
        vendor = "sqlite"
        settings_dict: dict[str, Any] = {"NAME": str(tmp_path / "desk.sqlite")}

    monkeypatch.setattr("emo_site.db.lease.connections", {"default": OnFile()})
    one, other = Lease("default", "watch"), Lease("default", "watch")
    assert (one.hold(), other.hold(), one.hold()) == (True, False, True)
    one.let_go()
    assert other.hold()
    other.let_go()
    OnFile.settings_dict["NAME"] = str(tmp_path / "nowhere" / "desk.sqlite")
    assert one.hold() is None
