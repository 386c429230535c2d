"""A copy beside the live database, and the swap: all of it or nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from emo_site.db.backup import postgresql, restoring, server, session, sqlite
from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.manifest import DatabaseFacts, Manifest
from emo_site.db.backup.restoring import Place
from tests.desk import postgresql_programs

NOW = datetime(2025, 11, 3, 15, 30, tzinfo=UTC)
FACTS = DatabaseFacts(
    alias="default",
    engine="sqlite",
    server_version="3.40.1",
    server_major=3,
    migrations=(),
    tables={},
    structure=(),
    sequences={},
)
MANIFEST = Manifest(made_at=NOW, environment="prod", desk_version="9.9", databases=(FACTS,))


# ---- what may be restored -------------------------------------------------------------------------------------------


def refuse(manifest: Manifest, environment: str = "prod", **changes: Any) -> None:
    restoring.refuse_strangers(manifest, environment=environment, **{"allowed": "", "newer_allowed": False, **changes})


def test_backup_of_this_environment_and_schema_is_taken() -> None:
    refuse(replace(MANIFEST, databases=(replace(FACTS, migrations=("orders.0001_initial",)),)))


def test_backup_of_another_environment_is_refused_unless_allowed_by_name() -> None:
    with pytest.raises(CouldNot, match=r"the backup is of prod, this desk is dev: .* add --allow-environment prod"):
        refuse(MANIFEST, "dev")
    with pytest.raises(CouldNot, match="the backup is of prod"):
        refuse(MANIFEST, "dev", allowed="staging")
    refuse(MANIFEST, "dev", allowed="prod")


def test_backup_of_a_newer_schema_is_refused_unless_allowed() -> None:
    newer = replace(MANIFEST, databases=(replace(FACTS, migrations=("orders.0001_initial", "orders.9999_later")),))
    with pytest.raises(CouldNot) as error:
        refuse(newer)
    assert "from a newer desk (9.9), with migrations that this one does not have: orders.9999_later." in str(
        error.value
    )
    refuse(newer, newer_allowed=True)


def test_older_schema_says_what_has_to_be_migrated() -> None:
    older = replace(FACTS, migrations=("orders.0001_initial",))
    missing = restoring.migrations_to_run(older)
    assert "orders.0002_order_events_append_only" in missing
    assert "orders.0001_initial" not in missing


def test_archive_and_desk_must_hold_the_same_databases() -> None:
    two = {"default": {"ENGINE": "x.sqlite3", "NAME": "a"}, "timeseries": {"ENGINE": "x.sqlite3", "NAME": "b"}}
    with pytest.raises(CouldNot, match="the archive holds default; this desk has default, timeseries"):
        restoring.places(MANIFEST, two, programs_in="", keep_owners=True, now=NOW)
    with pytest.raises(CouldNot, match="--database=timeseries: the archive holds default"):
        MANIFEST.only("timeseries")


def test_archive_goes_back_to_the_engine_that_it_is_from() -> None:
    with pytest.raises(CouldNot, match="default: the backup is of sqlite, this desk's database is postgresql"):
        restoring.places(
            MANIFEST, {"default": {"ENGINE": "emo", "NAME": "a"}}, programs_in="", keep_owners=True, now=NOW
        )


# ---- SQLite ---------------------------------------------------------------------------------------------------------


def table(path: Path, word: str) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as made, made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE words (word TEXT)")
        made.execute("INSERT INTO words VALUES (?)", [word])
    return path


def word_in(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as opened:
        return str(opened.execute("SELECT word FROM words").fetchone()[0])


def file_place(folder: Path, name: str = "desk") -> Place:
    copy = sqlite.Copy("default", str(table(folder / f"{name}.copy", "new")))
    return Place(copy=copy, live=str(table(folder / name, "old")), kept=str(folder / f"{name}.kept"))


def test_file_takes_the_place_of_the_live_one(tmp_path: Path) -> None:
    restoring._swap_all([file_place(tmp_path)])
    assert (word_in(tmp_path / "desk"), word_in(tmp_path / "desk.kept")) == ("new", "old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["desk", "desk.kept"]


def test_file_in_use_is_not_swapped(tmp_path: Path) -> None:
    place = file_place(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "desk")) as user:
        user.execute("SELECT * FROM words").fetchall()
        with pytest.raises(CouldNot, match=r"is in use .*: stop the desk and run the command again"):
            restoring._swap_all([place])
    assert word_in(tmp_path / "desk") == "old"


def test_damaged_file_is_set_aside_with_its_companions(tmp_path: Path) -> None:
    place = file_place(tmp_path)
    (tmp_path / "desk").write_bytes(b"no database at all" * 500)
    (tmp_path / "desk-wal").write_bytes(b"its log")
    restoring._swap_all([place])
    assert word_in(tmp_path / "desk") == "new"
    assert (tmp_path / "desk.kept").read_bytes().startswith(b"no database")
    assert (tmp_path / "desk.kept-wal").read_bytes() == b"its log"
    assert not (tmp_path / "desk-wal").exists()


def test_log_of_a_file_that_is_gone_is_not_played_into_the_restored_one(tmp_path: Path) -> None:
    place, live = file_place(tmp_path), tmp_path / "desk"
    with contextlib.closing(sqlite3.connect(live)) as killed:
        killed.execute("UPDATE words SET word = 'from the log'")
        killed.commit()
        log = (tmp_path / "desk-wal").read_bytes()
    live.unlink()
    (tmp_path / "desk-wal").write_bytes(log)
    restoring._swap_all([place])
    assert word_in(live) == "new"
    assert (tmp_path / "desk.kept-wal").read_bytes() == log


HOLDS = """
import sqlite3, sys
opened = sqlite3.connect(sys.argv[1])
print(opened.execute("SELECT word FROM words").fetchone(), flush=True)
sys.stdin.read()
"""


def test_damaged_file_in_use_is_not_swapped(tmp_path: Path) -> None:
    place = file_place(tmp_path)
    command = [sys.executable, "-c", HOLDS, place.live]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        with Path(place.live).open("r+b") as file:
            file.write(bytes(4096))
        with pytest.raises(CouldNot, match="is in use: stop the desk and run the command again"):
            restoring._swap_all([place])
        user.communicate()
    assert not Path(place.kept).exists()
    restoring._swap_all([place])
    assert word_in(tmp_path / "desk") == "new"


def test_second_swap_that_fails_gives_a_damaged_first_its_companions_back(tmp_path: Path) -> None:
    first, second = file_place(tmp_path, "first"), file_place(tmp_path, "second")
    (tmp_path / "first").write_bytes(b"no database at all" * 500)
    (tmp_path / "first-wal").write_bytes(b"its log")
    Path(second.kept).write_text("in the way")
    with pytest.raises(CouldNot, match="the swap failed"):
        restoring._swap_all([first, second])
    assert (tmp_path / "first").read_bytes().startswith(b"no database")
    assert (tmp_path / "first-wal").read_bytes() == b"its log"


def test_second_swap_that_fails_undoes_the_first(tmp_path: Path) -> None:
    first, second = file_place(tmp_path, "first"), file_place(tmp_path, "second")
    Path(second.kept).write_text("in the way")
    with pytest.raises(CouldNot, match=r"the swap failed, .*second is as it was \(File exists\)"):
        restoring._swap_all([first, second])
    assert [word_in(tmp_path / name) for name in ("first", "first.copy", "second", "second.copy")] == [
        *("old", "new", "old", "new")
    ]


def test_nothing_is_restored_over_a_file_that_exists(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(CouldNot, match="copy exists already; nothing is restored over it"):
        sqlite.Copy("default", str(tmp_path / "copy")).create(FACTS)
    assert (tmp_path / "copy").read_text() == "mine"


def test_dump_that_is_no_gzip_is_not_proven(tmp_path: Path) -> None:
    copy = sqlite.Copy("default", str(tmp_path / "copy"))
    copy.create(FACTS)
    with pytest.raises(NotProven, match="the dump can't be unpacked"):
        copy.fill(FACTS, iter([b"hello"]))


# ---- PostgreSQL -----------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(db: None) -> Iterator[psycopg.Connection[Any]]:
    place = connection.settings_dict
    with psycopg.connect(
        host=place["HOST"],
        port=place["PORT"],
        user=place["USER"],
        password=place["PASSWORD"],
        dbname="postgres",
        autocommit=True,
    ) as opened:
        yield opened


@pytest.fixture
def names(admin: psycopg.Connection[Any]) -> Iterator[str]:
    """A prefix; every database whose name begins with it is removed afterwards."""
    prefix = f"swap_{uuid.uuid4().hex[:8]}"
    yield prefix
    for (name,) in admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix]).fetchall():
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def opened(name: str) -> psycopg.Connection[Any]:
    place = connection.settings_dict
    return psycopg.connect(
        host=place["HOST"], port=place["PORT"], user=place["USER"], password=place["PASSWORD"], dbname=name
    )


def once_alone(admin: psycopg.Connection[Any], statement: str) -> None:
    """TimescaleDB's launcher looks into each new database for a moment, and the server waits for it 5 s at most."""
    for _ in range(5):
        with contextlib.suppress(psycopg.errors.ObjectInUse):
            admin.execute(statement)
            return
    admin.execute(statement)


def words(admin: psycopg.Connection[Any], name: str, word: str) -> None:
    admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    with opened(name) as inside:
        inside.execute("CREATE TABLE words AS SELECT %s::text AS word", [word])


def said_by(name: str) -> str:
    with opened(name) as inside:
        row = inside.execute("SELECT word FROM words").fetchone()
        assert row is not None
        return str(row[0])


def copy_named(name: str, **changes: Any) -> postgresql.Copy:
    return postgresql.Copy("default", dict(connection.settings_dict), name, str(postgresql_programs()), **changes)


def server_place(admin: psycopg.Connection[Any], prefix: str) -> Place:
    words(admin, f"{prefix}_live", "old")
    words(admin, f"{prefix}_copy", "new")
    return Place(copy=copy_named(f"{prefix}_copy"), live=f"{prefix}_live", kept=f"{prefix}_kept")


@pytest.mark.postgresql
def test_database_takes_the_place_of_the_live_one_and_ends_its_connections(
    admin: psycopg.Connection[Any], names: str
) -> None:
    place = server_place(admin, names)
    with opened(place.live) as user:
        restoring._swap_all([place])
        with pytest.raises(psycopg.errors.AdminShutdown):
            user.execute("SELECT 1")
    assert (said_by(place.live), said_by(place.kept)) == ("new", "old")


@pytest.mark.postgresql
def test_swap_wins_against_those_who_keep_coming_back(admin: psycopg.Connection[Any], names: str) -> None:
    place = server_place(admin, names)
    ended = threading.Event()

    def keeps_coming() -> None:
        while not ended.is_set():
            with contextlib.suppress(psycopg.OperationalError), opened(place.live) as user:
                while not ended.is_set():
                    user.execute("SELECT 1")

    users = [threading.Thread(target=keeps_coming) for _ in range(3)]
    for user in users:
        user.start()
    try:
        restoring._swap_all([place])
    finally:
        ended.set()
        for user in users:
            user.join()
    assert (said_by(place.live), said_by(place.kept)) == ("new", "old")


@pytest.mark.postgresql
def test_swap_that_fails_half_way_leaves_every_name_as_it_was(admin: psycopg.Connection[Any], names: str) -> None:
    place = server_place(admin, names)
    admin.execute(f'DROP DATABASE "{place.copy.name}"')
    with pytest.raises(CouldNot, match=r"the swap failed, every name is as it was .* does not exist"):
        restoring._swap_all([place])
    assert said_by(place.live) == "old"


@pytest.mark.postgresql
def test_second_database_that_is_not_swapped_undoes_the_first(admin: psycopg.Connection[Any], names: str) -> None:
    first, second = server_place(admin, f"{names}_a"), server_place(admin, f"{names}_b")
    words(admin, second.kept, "in the way")
    with pytest.raises(CouldNot, match=r"the swap failed, every name is as it was .* already exists"):
        restoring._swap_all([first, second])
    found = [said_by(name) for place in (first, second) for name in (place.live, place.copy.name)]
    assert found == ["old", "new", "old", "new"]
    assert said_by(second.kept) == "in the way"


@pytest.mark.postgresql
def test_nothing_is_restored_over_a_database_that_exists(admin: psycopg.Connection[Any], names: str) -> None:
    words(admin, f"{names}_copy", "mine")
    with pytest.raises(CouldNot, match="exists already; nothing is restored over it"):
        copy_named(f"{names}_copy").create(FACTS)
    assert said_by(f"{names}_copy") == "mine"


@pytest.mark.postgresql
def test_name_that_the_server_would_cut_is_refused(db: None) -> None:
    with pytest.raises(CouldNot, match="a database's name has at most 63 bytes"):
        copy_named("x" * 64).create(FACTS)


@pytest.mark.postgresql
def test_copy_takes_over_locale_owner_grants_and_settings(admin: psycopg.Connection[Any], names: str) -> None:
    role, live = f"{names}_role", f"{names}_live"
    admin.execute(f'CREATE ROLE "{role}"')
    admin.execute(f'CREATE DATABASE "{live}" OWNER "{role}" TEMPLATE template0 LOCALE_PROVIDER libc LOCALE \'POSIX\'')
    # On a volume of its own, which may be the encrypted one.
    admin.execute("SET allow_in_place_tablespaces = true")
    admin.execute(f"CREATE TABLESPACE \"{role}\" LOCATION ''")
    try:
        admin.execute(f'REVOKE ALL ON DATABASE "{live}" FROM PUBLIC')
        admin.execute(f'GRANT CONNECT ON DATABASE "{live}" TO pg_monitor WITH GRANT OPTION')
        once_alone(admin, f'ALTER DATABASE "{live}" SET TABLESPACE "{role}"')
        admin.execute(f'ALTER DATABASE "{live}" CONNECTION LIMIT 7')
        admin.execute(f'ALTER DATABASE "{live}" SET search_path TO one, "Two\'s"')
        admin.execute(f'ALTER ROLE "{role}" IN DATABASE "{live}" SET statement_timeout = \'7s\'')
        copy = copy_named(f"{names}_copy", like=live)
        copy.create(FACTS)
        with copy._maintenance() as maintenance:
            for statement in server.inherited(maintenance, copy.name, like=live):
                server.execute(maintenance, statement)
            ours, theirs = server.described(maintenance, copy.name), server.described(maintenance, live)
        assert ours is not None
        assert theirs is not None
        different = {key for key in ours if ours[key] != theirs[key]} - {"oid", "datname", "datfrozenxid", "datminmxid"}
        assert different == set()
        question = (
            "SELECT setrole::regrole::text, setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
            " WHERE datname = %s ORDER BY 1"
        )
        assert admin.execute(question, [copy.name]).fetchall() == admin.execute(question, [live]).fetchall()
        assert len(admin.execute(question, [live]).fetchall()) == 2
    finally:
        for name in (live, f"{names}_copy"):
            admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f'DROP TABLESPACE "{role}"')
        admin.execute(f'DROP ROLE "{role}"')


@pytest.mark.postgresql
def test_dump_that_is_no_dump_is_not_proven(admin: psycopg.Connection[Any], names: str) -> None:
    copy = copy_named(f"{names}_copy")
    copy.create(FACTS)
    with pytest.raises(NotProven, match="default: pg_restore ended with 1: pg_restore: error: "):
        copy.fill(FACTS, iter([b"hello" * 100]))


@pytest.mark.postgresql
def test_dump_is_of_the_moment_at_which_the_rows_were_counted(admin: psycopg.Connection[Any], names: str) -> None:
    words(admin, f"{names}_live", "first")
    live = {**connection.settings_dict, "NAME": f"{names}_live"}
    copy = copy_named(f"{names}_copy")
    with postgresql.source("default", live, heads={}, programs_in=str(postgresql_programs())) as source:
        with opened(live["NAME"]) as writer:
            writer.execute("INSERT INTO words VALUES ('second')")
            writer.execute("CREATE TABLE later AS SELECT 1")
        copy.create(source.facts)
        copy.fill(source.facts, source.dump())
    with copy.connected() as restored:
        assert restoring.examine(restored, source.facts, heads={}).problems == ()
    assert source.facts.tables == {"words": 1}


@pytest.mark.postgresql
def test_everything_that_is_counted_is_of_one_moment(admin: psycopg.Connection[Any], names: str) -> None:
    words(admin, f"{names}_live", "first")
    live = {**connection.settings_dict, "NAME": f"{names}_live"}
    with session.opened("default", live, one_snapshot=True) as reading:
        assert server.one(reading, "SELECT count(*) FROM words") == 1
        with opened(live["NAME"]) as writer:
            writer.execute("INSERT INTO words VALUES ('second')")
        assert server.one(reading, "SELECT count(*) FROM words") == 1


@contextlib.contextmanager
def ordinary_users_copy(admin: psycopg.Connection[Any], name: str) -> Iterator[postgresql.Copy]:
    """A scratch database of a user who may make databases and is no superuser."""
    role = f"{name}_role"
    admin.execute(f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'ordinary'")
    place = {**connection.settings_dict, "USER": role, "PASSWORD": "ordinary"}
    copy = replace(copy_named(name), settings=place)
    try:
        copy.create(FACTS)
        yield copy
    finally:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        admin.execute(f"DROP ROLE {role}")


@pytest.mark.postgresql
def test_scratch_copy_goes_once_a_superusers_worker_has_left_it(admin: psycopg.Connection[Any], names: str) -> None:
    with ordinary_users_copy(admin, f"{names}_copy") as copy:
        worker = opened(copy.name)
        leaves = threading.Timer(1.5, worker.close)
        leaves.start()
        try:
            copy.remove()
        finally:
            leaves.join()
        assert admin.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [copy.name]).fetchone() == (0,)


@pytest.mark.postgresql
def test_scratch_copy_that_stays_is_named(
    admin: psycopg.Connection[Any], names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "DROP_ATTEMPTS", 1)
    said = f"default: the scratch copy {names}_copy is left on the server, drop it by hand .* other users"
    with ordinary_users_copy(admin, f"{names}_copy") as copy, opened(copy.name), pytest.raises(CouldNot, match=said):
        copy.remove()


@pytest.mark.postgresql
def test_program_never_sees_a_password_that_it_would_show(db: None) -> None:
    place = {**connection.settings_dict, "OPTIONS": {"sslpassword": "hunter2"}}
    with (
        session.opened("default", place) as reached,
        pytest.raises(CouldNot, match="can't be given sslpassword without showing it"),
    ):
        postgresql._run(postgresql.programs.Program(Path("/bin/true"), "1", 1), [], reached)


@pytest.mark.postgresql
def test_program_signs_in_as_the_desk_does_and_goes_nowhere_else(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o755)
    for name, value in {"PGPASSFILE": "/keys/pgpass", "PGSSLMODE": "prefer", "PGOPTIONS": "-c search_path=x"}.items():
        monkeypatch.setenv(name, value)
    with session.opened("default", dict(connection.settings_dict)) as reached:
        run = postgresql._run(postgresql.programs.Program(program, "1", 1), [], reached, stdout=subprocess.PIPE)
        said = run.communicate()[0].decode().splitlines()
    assert {"PGPASSFILE=/keys/pgpass", "PGSSLMODE=prefer"} <= set(said)
    assert not [line for line in said if line.startswith("PGOPTIONS")]
