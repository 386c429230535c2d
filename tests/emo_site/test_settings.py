"""The settings as a process of its own meets them: it starts, or it says which variable is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emo_site import __version__
from tests.run import PROJECT

SHOW = """
import json, django
from django.conf import settings
django.setup()
names = ("ENGINE", "NAME", "USER", "HOST", "PORT")
print(json.dumps({
    "databases": {alias: {name: str(database.get(name, "")) for name in names}
                  for alias, database in settings.DATABASES.items()},
    "options": settings.DATABASES["default"]["OPTIONS"],
    "places": [str(each) for each in (settings.STATIC_ROOT, settings.EMO_AUDIT_ANCHOR_FILE, settings.EMO_BACKUP_DIR)],
    "debug": settings.DEBUG,
    "sql_log": settings.EMO_DB_DEBUG,
    "secret_key": settings.SECRET_KEY,
    "audit_keys": [settings.EMO_AUDIT_KEY, *settings.EMO_AUDIT_OLD_KEYS],
    "secure": getattr(settings, "SECURE_SSL_REDIRECT", False),
}))
"""
PASSWORD = "hunter2"
URL = f"postgresql://emo:{PASSWORD}@db.example:5432/desk"
KEY = "k" * 50
AUDIT_KEY = "a" * 32
KEYS = {"SECRET_KEY": KEY, "EMO_AUDIT_KEY": AUDIT_KEY}


def start(script: str = SHOW, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={"DJANGO_SETTINGS_MODULE": "emo_site.settings", "PYTHONPATH": str(PROJECT), **environment},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def started(**environment: str) -> dict:
    process = start(**environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


REFUSED = {
    "prod without a database": (
        {"EMO_ENV": "prod", **KEYS},
        "POSTGRES_URL is not set: set it, or EMO_DB_URL, in prod: there is no silent SQLite outside dev",
    ),
    "staging without a database": (
        {"EMO_ENV": "staging", **KEYS},
        "POSTGRES_URL is not set: set it, or EMO_DB_URL, in staging: there is no silent SQLite outside dev",
    ),
    "prod without a secret key": (
        {"EMO_ENV": "prod", "POSTGRES_URL": URL},
        "SECRET_KEY is not set: set it, or SECRET_KEY_FILE, in prod: 50 random characters or more",
    ),
    "prod without a key of the audit": (
        {"EMO_ENV": "prod", "SECRET_KEY": KEY, "POSTGRES_URL": URL},
        "EMO_AUDIT_KEY is not set: set it, or EMO_AUDIT_KEY_FILE, in prod: 32 random characters or more",
    ),
    "staging without a key of the audit": (
        {"EMO_ENV": "staging", "SECRET_KEY": KEY, "POSTGRES_URL": URL},
        "EMO_AUDIT_KEY is not set: set it, or EMO_AUDIT_KEY_FILE, in staging: 32 random characters or more",
    ),
    "a short key of the audit": (
        {"EMO_AUDIT_KEY": "a" * 31},
        "EMO_AUDIT_KEY='***' is refused: 32 random characters or more are needed, without commas and white space",
    ),
    "two keys of the audit": (
        {"EMO_AUDIT_KEY": f"{AUDIT_KEY} {AUDIT_KEY}"},
        "EMO_AUDIT_KEY='***' is refused: one key is needed, older ones go into EMO_AUDIT_OLD_KEYS",
    ),
    "a short old key of the audit": (
        {"EMO_AUDIT_OLD_KEYS": f"{AUDIT_KEY},short"},
        "EMO_AUDIT_OLD_KEYS='***' is refused: 32 random characters or more are needed, without commas and white space",
    ),
    "SQLite as the server": (
        {"EMO_ENV": "staging", **KEYS, "POSTGRES_URL": "sqlite:///data/x.sqlite"},
        "POSTGRES_URL='sqlite:///data/x.sqlite' is refused: a PostgreSQL server is needed",
    ),
    "SQLite as a replica": (
        {"EMO_REPLICA_URLS": "sqlite:///data/x.sqlite"},
        "EMO_REPLICA_URLS='sqlite:///data/x.sqlite' is refused: a PostgreSQL server is needed",
    ),
    "a file as the folder": (
        {"EMO_DATA_DIR": "manage.py"},
        f"EMO_DATA_DIR='{PROJECT / 'manage.py'}' is refused: a folder is needed",
    ),
    "a folder as the file": (
        {"EMO_SQLITE_PATH": "/tmp"},
        "EMO_SQLITE_PATH='/tmp' is refused: a file is needed, in a folder that exists",
    ),
    "a URL as the file": (
        {"EMO_SQLITE_PATH": URL},
        "EMO_SQLITE_PATH='***' is refused: a file's path is needed; URLs go into EMO_DB_URL",
    ),
    "a URL as a host": (
        {"ALLOWED_HOSTS": "http://desk/"},
        "ALLOWED_HOSTS='http://desk/' is refused: host names are needed, without scheme and path",
    ),
    "unknown environment": ({"EMO_ENV": "bogus"}, "EMO_ENV='bogus' is refused: allowed are dev, staging, prod"),
    **{
        f"pool size {size}": (
            {"EMO_DB_POOL_SIZE": size},
            f"EMO_DB_POOL_SIZE='{size}' is refused: a whole number from 1 to 200 is needed",
        )
        for size in ("0", "-1", "1000000", "abc", "--5")
    },
    **{
        f"{name} {value}": ({name: value}, f"{name}='{value}' is refused: a whole number from {span} is needed")
        for name, span, values in (
            ("EMO_DB_POOL_MIN", "0 to 200", ("-1", "1000000")),
            ("EMO_DB_POOL_TIMEOUT_SECONDS", "1 to 600", ("0", "-1")),
            ("EMO_DB_CONNECT_TIMEOUT_SECONDS", "2 to 60", ("1", "soon")),
            ("EMO_DB_STATEMENT_TIMEOUT_SECONDS", "0 to 86400", ("-1", "8s", "1.5")),
            ("EMO_DB_LOCK_TIMEOUT_SECONDS", "0 to 86400", ("-1",)),
            ("EMO_DB_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS", "0 to 86400", ("never",)),
            ("EMO_DB_SLOW_MS", "1 to 600000", ("0",)),
        )
        for value in values
    },
    "a pool that is larger when it rests": (
        {"EMO_DB_POOL_MIN": "6"},
        "EMO_DB_POOL_MIN='6' is refused: at most EMO_DB_POOL_SIZE, which is 5",
    ),
    "doubtful debug": (
        {"EMO_DB_DEBUG": "maybe"},
        "EMO_DB_DEBUG='maybe' is refused: allowed are true, 1, yes, on and false, 0, no, off",
    ),
    "unknown scheme": (
        {"EMO_DB_URL": f"mysql://emo:{PASSWORD}@db/desk"},
        "EMO_DB_URL='mysql://emo:***@db/desk' is refused: the scheme must be one of sqlite, postgres, postgresql,"
        " postgresql+psycopg, postgresql+psycopg2",
    ),
    "broken replica": (
        {"EMO_REPLICA_URLS": f"{URL},postgresql://emo:{PASSWORD}@r2:0x1/desk"},
        "EMO_REPLICA_URLS='postgresql://emo:***@r2:0x1/desk' is refused: it is not a URL of the form"
        " scheme://user:password@host:port/name",
    ),
    "short metrics token": (
        {"EMO_METRICS_TOKEN": "short"},
        "EMO_METRICS_TOKEN='***' is refused: 32 random characters or more are needed, without commas and white space",
    ),
    "network with bits of a host": (
        {"EMO_METRICS_NETWORKS": "10.1.0.0/16, 10.1.2.3/16"},
        "EMO_METRICS_NETWORKS='10.1.2.3/16' is refused: networks such as 10.1.0.0/16 or addresses are needed, separated"
        " by commas (10.1.2.3/16 has host bits set)",
    ),
    "doubtful timescale": ({"EMO_TIMESCALE": "on"}, "EMO_TIMESCALE='on' is refused: allowed are auto, off"),
}


@pytest.mark.parametrize(("environment", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_environment_stops_the_program_and_says_why(environment: dict[str, str], message: str) -> None:
    process = start(**environment)
    assert process.returncode != 0
    assert process.stderr.strip().splitlines()[-1].endswith(
        f"Refused: {message}"
    ) or process.stderr.strip().splitlines()[-1].endswith(f"InvalidDatabaseURL: {message}")
    assert PASSWORD not in process.stdout + process.stderr


def test_dev_is_sqlite_without_asking() -> None:
    databases = started()["databases"]
    assert databases["default"]["ENGINE"] == "django.db.backends.sqlite3"
    assert databases["default"]["NAME"] == str(PROJECT / "data" / "emo_dev.sqlite")
    assert list(databases) == ["default"]


def test_all_that_the_desk_writes_is_in_one_folder(tmp_path: Path) -> None:
    shown = started(EMO_DATA_DIR=str(tmp_path / "data"))
    assert shown["databases"]["default"]["NAME"] == str(tmp_path / "data" / "emo_dev.sqlite")
    assert shown["places"] == [str(tmp_path / "data" / name) for name in ("static", "audit-anchors.jsonl", "backups")]


def test_dev_takes_no_server_from_postgres_url() -> None:
    assert started(POSTGRES_URL=URL)["databases"]["default"]["ENGINE"] == "django.db.backends.sqlite3"


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_server_comes_from_postgres_url(name: str) -> None:
    shown = started(EMO_ENV=name, **KEYS, POSTGRES_URL=URL)
    assert shown["databases"]["default"] == {
        "ENGINE": "emo_site.db.timescale",
        "NAME": "desk",
        "USER": "emo",
        "HOST": "db.example",
        "PORT": "5432",
    }
    assert shown["options"]["pool"] == {"min_size": 1, "max_size": 5, "timeout": 5, "reconnect_timeout": 0.2}
    assert shown["secure"] is True


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_emo_db_url_wins_everywhere(name: str) -> None:
    shown = started(EMO_ENV=name, **KEYS, POSTGRES_URL=URL, EMO_DB_URL="postgres://u@other/desk2")
    assert shown["databases"]["default"]["HOST"] == "other"


def test_time_series_and_replicas_are_databases_of_their_own() -> None:
    databases = started(
        EMO_DB_URL=URL,
        EMO_TIMESERIES_URL="postgresql://u@ts/series",
        EMO_REPLICA_URLS="postgresql://u@r1/desk, postgresql://u@r2a,r2b/desk",
    )["databases"]
    assert {alias: database["HOST"] for alias, database in databases.items()} == {
        "default": "db.example",
        "timeseries": "ts",
        "replica1": "r1",
        "replica2": "r2a",
        "replica3": "r2b",
    }


def test_shards_are_databases_in_their_order() -> None:
    databases = started(EMO_DB_URL=URL, EMO_MARKET_SHARDS="postgresql://u@a/one,postgresql://u@b1,b2/two")["databases"]
    assert [(alias, database["HOST"]) for alias, database in databases.items() if alias != "default"] == [
        ("shard1", "a"),
        ("shard2", "b1,b2"),
    ]


def test_pool_size_reaches_the_pool() -> None:
    assert started(EMO_DB_URL=URL, EMO_DB_POOL_SIZE="12")["options"]["pool"]["max_size"] == 12


def test_pool_and_time_outs_come_from_the_environment() -> None:
    options = started(
        EMO_DB_URL=URL,
        EMO_DB_POOL_MIN="2",
        EMO_DB_POOL_TIMEOUT_SECONDS="3",
        EMO_DB_CONNECT_TIMEOUT_SECONDS="4",
        EMO_DB_LOCK_TIMEOUT_SECONDS="0",
        EMO_DB_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS="7",
        # This process serves nobody: a migration must not end with the time-out of a page.
        EMO_DB_STATEMENT_TIMEOUT_SECONDS="6",
    )["options"]
    assert (options["pool"]["min_size"], options["pool"]["timeout"], options["connect_timeout"]) == (2, 3, 4)
    assert options["options"] == "-c idle_in_transaction_session_timeout=7000"
    assert options["application_name"] == f"emo-dev-python-{__version__}"


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        ({}, "-c statement_timeout=8000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000"),
        (
            {"EMO_DB_STATEMENT_TIMEOUT_SECONDS": "6"},
            "-c statement_timeout=6000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000",
        ),
        (
            {"EMO_DB_STATEMENT_TIMEOUT_SECONDS": "0"},
            "-c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000",
        ),
    ],
)
def test_a_serving_process_has_a_statement_time_out(environment: dict[str, str], options: str) -> None:
    serving = f"import sys; sys.argv = ['/x/gunicorn', 'emo_site.wsgi']{SHOW}"
    process = start(script=serving, EMO_ENV="prod", **KEYS, POSTGRES_URL=URL, **environment)
    shown = json.loads(process.stdout)["options"]
    assert (shown["options"], shown["application_name"]) == (options, f"emo-prod-gunicorn-{__version__}")


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(URL + "\n")
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "audit").write_text(AUDIT_KEY + "\n")
    (tmp_path / "old").write_text(f"{'b' * 40}\n{'c' * 40}\n")
    names = {"SECRET_KEY": "key", "POSTGRES_URL": "url", "EMO_AUDIT_KEY": "audit", "EMO_AUDIT_OLD_KEYS": "old"}
    shown = started(EMO_ENV="prod", **{f"{name}_FILE": str(tmp_path / file) for name, file in names.items()})
    assert shown["secret_key"] == KEY
    assert shown["audit_keys"] == [AUDIT_KEY, "b" * 40, "c" * 40]
    assert shown["databases"]["default"]["HOST"] == "db.example"


def test_debug_and_the_log_of_statements_are_off_by_default() -> None:
    shown = started()
    assert (shown["debug"], shown["sql_log"]) == (False, False)


def test_log_of_statements_is_turned_on() -> None:
    assert started(EMO_DB_DEBUG="on")["sql_log"] is True
