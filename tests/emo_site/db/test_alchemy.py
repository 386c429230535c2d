"""The SQLAlchemy engine: the desk's own connections, and no password where nobody asked for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy
from django.db import OperationalError, connections
from django.db.utils import load_backend
from sqlalchemy import exc, make_url, text

from emo_site.db import alchemy, urls
from emo_site.db.timeouts import ServerTimeouts
from tests.run import PROJECT
from tests.servers import black_hole

SECRET = "pä ss:/@?#%"
DEFAULTS = urls.ConnectionDefaults(
    application_name="emo-test",
    timeouts=ServerTimeouts(statement=7, lock=5),
    connect_timeout=2,
    pool_min=1,
    pool_max=2,
    pool_timeout=1,
)


@pytest.fixture
def engine(transactional_db: None) -> sqlalchemy.Engine:
    return alchemy.engine("default")


@pytest.fixture
def elsewhere() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Makes the default database another one, of which nothing but its settings is looked at, or which is down."""

    def turn(url: str) -> dict[str, Any]:
        parsed = urls.parse(url, variable="EMO_DB_URL", base_dir=PROJECT, defaults=DEFAULTS)
        database = {**deepcopy(before.settings_dict), **parsed}
        connections["default"] = load_backend(database["ENGINE"]).DatabaseWrapper(database, "default")
        alchemy.engine.cache_clear()
        return database

    before = connections["default"]
    yield turn
    connections["default"] = before
    alchemy.engine.cache_clear()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            "postgresql://emo:{}@db.example:5433/desk?sslmode=verify-full",
            "postgresql+psycopg://emo:***@db.example:5433/desk?",
        ),
        ("postgresql://emo@db.example/desk", "postgresql+psycopg://emo@db.example/desk?"),
        ("postgresql://emo:{}@[::1]:5432/desk", "postgresql+psycopg://emo:***@[::1]:5432/desk?"),
        ("postgresql://emo:{}@/desk?host=/run/postgresql", "postgresql+psycopg://emo:***@/desk?host=/run/postgresql&"),
        ("postgresql://emo:{}@a:5432,b:5433/desk", "postgresql+psycopg://emo:***@/desk?host=a:5432&host=b:5433&"),
        ("postgresql://emo:{}@a/desk?sslpassword={}", "postgresql+psycopg://emo:***@a/desk?"),
    ],
)
def test_a_url_shows_no_password_unless_asked_and_is_the_same_place(given: str, shown: str, elsewhere: Any) -> None:
    database = elsewhere(given.replace("{}", quote(SECRET, safe="")))
    hidden = alchemy.url("default")
    assert hidden.startswith(shown)
    for part in (SECRET, quote(SECRET, safe="")):
        assert part not in hidden
    whole = make_url(alchemy.url("default", with_password=True))
    assert whole.password == (database["PASSWORD"] or None)
    assert (whole.username, whole.database) == (database["USER"], database["NAME"])
    arguments = whole.get_dialect()().create_connect_args(whole)[1]
    assert arguments["host"] == database["HOST"]
    assert str(arguments.get("port", "")) == database["PORT"]
    assert arguments["options"] == database["OPTIONS"]["options"]
    assert arguments.get("sslmode") == database["OPTIONS"].get("sslmode")
    assert "pool" not in arguments


def test_an_engine_holds_no_password(elsewhere: Any) -> None:
    elsewhere("postgresql://emo:verysecret@db.example:5433/desk")
    made = alchemy.engine("default")
    assert "verysecret" not in made.url.render_as_string(hide_password=False)
    assert made is alchemy.engine("default")


def test_sessions_are_those_of_the_desk(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
        if engine.dialect.name == "sqlite":
            settings = ("journal_mode", "synchronous", "recursive_triggers", "foreign_keys")
            asked = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in settings}
            with connections["default"].cursor() as cursor:
                assert asked == {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in settings}
            assert asked["recursive_triggers"] == asked["foreign_keys"] == 1
            return
        names = (
            "application_name",
            "lock_timeout",
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "TimeZone",
        )
        asked = {name: connection.execute(text(f"SHOW {name}")).scalar() for name in names}
        with connections["default"].cursor() as cursor:
            for name in names:
                cursor.execute(f"SHOW {name}")
                assert asked[name] == cursor.fetchone()[0], name
        assert asked["lock_timeout"] == "5s"
        assert connection.execute(text("SELECT current_user")).scalar() == connections["default"].settings_dict["USER"]


def test_what_is_not_committed_is_gone_and_what_is_stays(engine: sqlalchemy.Engine) -> None:
    add = "INSERT INTO auth_group (name) VALUES ('{}')"
    with engine.connect() as connection:
        connection.execute(text(add.format("kept")))
        connection.commit()
        connection.execute(text(add.format("lost")))
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT name FROM auth_group WHERE name IN ('kept', 'lost')")
        assert cursor.fetchall() == [("kept",)]


@pytest.mark.sqlite
def test_a_missing_file_is_said_and_not_made(tmp_path: Path, elsewhere: Any) -> None:
    elsewhere(f"sqlite:///{tmp_path}/none.sqlite")
    with pytest.raises(OperationalError, match=r"there is no file .*none\.sqlite"):
        alchemy.engine("default").connect()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_silent_is_given_up_soon(elsewhere: Any) -> None:
    with black_hole() as (host, port):
        elsewhere(f"postgresql://emo:verysecret@{host}:{port}/desk")
        with pytest.raises(exc.OperationalError) as failed:
            alchemy.engine("default").connect()
    assert "verysecret" not in str(failed.value)


def test_without_sqlalchemy_the_error_names_the_package_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    alchemy.engine.cache_clear()
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(alchemy.NotInstalled) as missing:
        alchemy.engine("default")
    assert str(missing.value) == (
        "sqlalchemy is not installed, and only the old names need it: pip install -r requirements-legacy.txt"
    )


def test_a_package_that_breaks_while_it_is_imported_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "half_a_package.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all") as broken:
        alchemy.needed("half_a_package")
    assert not isinstance(broken.value, alchemy.NotInstalled)
