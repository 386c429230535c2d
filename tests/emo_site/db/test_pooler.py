"""Behind PgBouncer in transaction mode nothing of pages outlives a transaction, and what must outlive one says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site import checks
from emo_site.db import pooler, prepared
from emo_site.db import urls as database_urls
from emo_site.db.health import asked_within
from emo_site.db.lease import Lease
from emo_site.db.one_runner import only_one
from emo_site.db.timeouts import ServerTimeouts
from monitoring.probes import DatabaseProbe
from tests import poolers
from tests.desk import empty_database, manage

pytestmark = [pytest.mark.postgresql, pytest.mark.tool("pgbouncer"), pytest.mark.django_db(transaction=True)]

DEFAULTS = database_urls.ConnectionDefaults(
    application_name="a test",
    timeouts=ServerTimeouts(statement=7, lock=7, idle_in_transaction=7),
    connect_timeout=2,
    pool_min=0,
    pool_max=2,
    pool_timeout=5,
)


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> str:
    """The URL of this worker's own database."""
    return f"{os.environ['EMO_DB_URL'].rpartition('/')[0]}/{connections['default'].settings_dict['NAME']}"


@pytest.fixture(scope="module")
def behind(server: str) -> Iterator[poolers.Pooler]:
    with poolers.pgbouncer(server) as started:
        yield started


def parsed(url: str) -> dict[str, Any]:
    return database_urls.parse(url, variable="EMO_DB_URL", base_dir=Path(), defaults=DEFAULTS)


def connected(url: str) -> BaseDatabaseWrapper:
    """Outside the pool, by the settings that this URL makes."""
    database = {**connections["default"].settings_dict, "DISABLE_SERVER_SIDE_CURSORS": False, **parsed(url)}
    database["OPTIONS"].pop("pool")
    return type(connections["default"])(database, "default")


@contextmanager
def led_through(url: str) -> Iterator[None]:
    """The default database of this thread is reached by this URL, as it is from pages."""
    connection = connections["default"]
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "settings_dict", connected(url).settings_dict)
        try:
            yield
        finally:
            connection.close()


def asked(connection: BaseDatabaseWrapper, question: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def test_statements_are_planned_anew_and_leave_no_setting_behind(behind: poolers.Pooler) -> None:
    with closing(connected(behind.url)) as connection:
        assert [prepared.rows(connection, "SELECT %s::int", [number]) for number in range(3)] == [
            [(0,)],
            [(1,)],
            [(2,)],
        ]
        assert prepared.changed_by_each(connection, "SELECT generate_series(1, %s::int)", [(2,), (3,)]) == [2, 3]
        assert asked(connection, "SELECT count(*) FROM pg_prepared_statements") == 0
        assert asked(connection, "SELECT current_setting('plan_cache_mode')") == "auto"


def test_timeouts_are_those_of_the_example(behind: poolers.Pooler) -> None:
    with closing(connected(behind.url)) as connection:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        found = [asked(connection, f"SELECT current_setting('{name}')") for name in names]
        assert found == ["8s", "5s", "1min"]
        assert pooler.timeouts_missing(connection, statement_seconds=9) == ()
        assert pooler.timeouts_missing(connection, statement_seconds=7) == (
            "statement_timeout is 8000 ms, more than 7 s",
        )


def test_patience_of_a_probe_ends_with_its_question(behind: poolers.Pooler) -> None:
    with led_through(behind.url), asked_within("default", 3) as connection:
        assert asked(connection, "SELECT current_setting('statement_timeout')") == "3s"
        session = asked(connection, "SELECT pg_backend_pid()")
    with closing(connected(behind.url)) as connection:
        # The same session of the server, in somebody else's hands.
        assert asked(connection, "SELECT pg_backend_pid()") == session
        assert asked(connection, "SELECT current_setting('statement_timeout')") == "8s"


def test_rows_are_read_without_a_cursor_that_outlives_its_statement(behind: poolers.Pooler) -> None:
    with led_through(behind.url):
        rows = Permission.objects.order_by("pk").iterator(chunk_size=10)
        read = [next(rows)]
        with closing(connected(behind.url)) as other:
            assert asked(other, "SELECT array_agg(name) FROM pg_cursors WHERE name <> ''") is None
        read += rows
        assert len(read) == Permission.objects.count() > 10


def test_lock_of_a_session_is_refused(behind: poolers.Pooler) -> None:
    with led_through(behind.url):
        with pytest.raises(pooler.NoSession, match="Database 'default' is reached through a pooler"):
            Lease("default", "watch").hold()
        with pytest.raises(pooler.NoSession), only_one("default", "retention"):
            pass
    lease = Lease("default", "watch")
    assert lease.hold() is True
    lease.let_go()


def test_commands_are_refused_and_say_what_to_do(behind: poolers.Pooler) -> None:
    for command in ("migrate_all", "worker", "monitor", "backup"):
        ran = manage(command, environment={"EMO_DB_URL": behind.url})
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith("EMO_DB_URL='postgresql://postgres:***@")
        assert ran.err.endswith(
            "is refused: pooler=transaction is for what serves pages;"
            " commands, workers and monitor need the server's own URL\n"
        )


@pytest.mark.parametrize("command", ["migrate_all", "monitor"])
def test_command_is_refused_though_nobody_told_of_the_pooler(server: str, tmp_path: Path, command: str) -> None:
    with empty_database(tmp_path) as url, poolers.pgbouncer(url, text=poolers.swallowing_options()) as silent:
        ran = manage(command, environment={"EMO_DB_URL": poolers.driver_url(silent.url)})
        assert (ran.status, ran.out) == (2, "")
        assert (
            "Database 'default' is reached through a pooler, which hands its sessions around: a lock held by a session"
            " would be anybody's. Give this process the server's own URL (docs/scaling.md).\n"
        ) in ran.err


def test_desk_that_was_not_told_of_the_pooler_is_refused_by_it(behind: poolers.Pooler) -> None:
    with led_through(poolers.driver_url(behind.url)):
        found = DatabaseProbe(alias="default").run()
    assert found.status == "error"
    assert "unsupported startup parameter: options" in found.message


def test_missing_timeouts_are_told(server: str, behind: poolers.Pooler, settings: Any) -> None:
    settings.EMO_REQUEST_TIMEOUT_SECONDS = 9
    missing = "idle_in_transaction_session_timeout is 0; lock_timeout is 0; statement_timeout is 0"
    with poolers.pgbouncer(server, text=poolers.without_timeouts()) as bare, led_through(bare.url):
        found = DatabaseProbe(alias="default").run()
        [message] = checks.poolers_set_timeouts(None, databases=["default"])
    assert (found.status, found.message) == ("warning", f"Behind the pooler time-outs are not in force: {missing}.")
    assert (message.id, missing in message.msg) == ("emo.E045", True)
    with led_through(behind.url):
        assert DatabaseProbe(alias="default").run().status == "healthy"
        assert checks.poolers_set_timeouts(None, databases=["default"]) == []
