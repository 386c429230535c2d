"""Wrong URLs, servers that refuse, disks that can't be written, as an operator meets them: exact words, no secret."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from django.core.checks.registry import registry
from django.db import OperationalError

from emo_site import checks
from emo_site.db import health
from monitoring import probes
from monitoring.probes import DiskProbe
from tests.desk import get, manage, served, sqlite_desk
from tests.servers import postgresql_server

pytestmark = pytest.mark.once

SECRET = "wr0ng-secret"
NOBODY = 65534


def component(out: str, name: str) -> tuple[str, str, str]:
    [found] = [each for each in json.loads(out)["components"] if each["name"] == name]
    return found["status"], found["message"], found["remedy"]


def test_a_database_that_does_not_exist_is_named() -> None:
    with postgresql_server() as server:
        host, port = server.address
        url = server.url.rpartition("/")[0] + "/nowhere"
        ran = manage("healthcheck", "--json", environment={"EMO_DB_URL": url})
    assert ran.status == 1
    assert component(ran.out, "database:default") == (
        "error",
        f'Can\'t be used: connection failed: connection to server at "{host}", port {port} failed: FATAL:  database'
        ' "nowhere" does not exist',
        "Check that the server of database 'default' runs, and its URL, user and password.",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["migrate"],
        ["migrate_all"],
        ["healthcheck", "--json"],
        ["export_report", "institutional", "--output", "{folder}/report.html"],
        ["export_report", "orders", "--output", "{folder}/report.html"],
        ["expire_orders"],
        ["sync_hypertables"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_no_command_tells_a_wrong_password(tmp_path: Path, arguments: list[str]) -> None:
    with postgresql_server() as server:
        host, port = server.address
        environment = {"EMO_DB_URL": f"postgresql://postgres:{SECRET}@{host}:{port}/emo"}
        words = [word.format(folder=tmp_path) for word in arguments]
        ran = manage(*words, environment=environment)
    told = ran.out + ran.err + "".join(path.read_text() for path in tmp_path.iterdir())
    assert "password authentication failed" in told
    assert SECRET not in told


def test_no_page_and_no_log_tells_a_wrong_password(capfd: pytest.CaptureFixture[str]) -> None:
    with postgresql_server() as server:
        host, port = server.address
        environment = {"EMO_DB_URL": f"postgresql://postgres:{SECRET}@{host}:{port}/emo", "EMO_DEBUG": "on"}
        with served(environment) as desk:
            told = "".join(
                str(get(desk, path)[:2]) for path in ("/healthz", "/readyz", "/admin/login/", "/reports/institutional/")
            )
    logged = capfd.readouterr()
    assert SECRET not in told + logged.out + logged.err


def test_a_replica_that_cannot_be_reached_keeps_nobody_from_starting(tmp_path: Path) -> None:
    desk = sqlite_desk(tmp_path)
    environment = {**desk, "EMO_REPLICA_URLS": f"postgresql://emo:{SECRET}@127.0.0.1:9/emo"}
    with served(environment) as port:
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/readyz")[0] == 200
    ran = manage("healthcheck", "--json", environment=environment)
    assert ran.status == 1
    status, message, _ = component(ran.out, "database:replica1")
    assert status == "error"
    assert message.startswith('Can\'t be used: connection failed: connection to server at "127.0.0.1", port 9 failed')
    assert component(ran.out, "database:default")[0] == "healthy"
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize(
    ("primary", "replicas", "message"),
    [
        ("localhost:5432", "127.0.0.1", "?: (emo.E003) Database 'replica1' is the same place as 'default'."),
        ("DB.example", "db.example:5432", "?: (emo.E003) Database 'replica1' is the same place as 'default'."),
        ("db", "r:5432|R", "?: (emo.E011) Database 'replica2' is the same place as 'replica1'."),
        (
            "a,b",
            "r",
            "?: (emo.E004) Database 'default' names several hosts without target_session_attrs=read-write.",
        ),
    ],
)
def test_hosts_that_do_not_fit_each_other_are_refused(primary: str, replicas: str, message: str) -> None:
    urls = ",".join(f"postgresql://emo:{SECRET}@{host}/emo" for host in replicas.split("|"))
    environment = {"EMO_DB_URL": f"postgresql://emo:{SECRET}@{primary}/emo", "EMO_REPLICA_URLS": urls}
    ran = manage("check", environment=environment)
    assert ran.status == 1
    assert message in ran.err
    assert SECRET not in ran.out + ran.err


@contextmanager
def plain_user() -> Iterator[None]:
    """Root may write everywhere; so it is somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unlike tmp_path, one that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="emo-faults-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path
        path.chmod(0o777)


def test_a_read_only_data_folder_is_an_error(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=50 * 2**30, total=100 * 2**30))
    folder.chmod(0o555)
    with plain_user():
        finding = DiskProbe(path=str(folder)).run()
    assert (str(finding.status), finding.message) == (
        "error",
        f"{folder} can't be written: Permission denied; 50.0 % free (50.0 GiB)",
    )
    folder.chmod(0o777)
    with plain_user():
        assert str(DiskProbe(path=str(folder)).run().status) == "healthy"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_takes_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> None:
    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(probes.os, "fsync", full)
    finding = DiskProbe(path=str(folder)).run()
    assert str(finding.status) == "error"
    assert finding.message.startswith(f"{folder} can't be written: {os.strerror(number)}; ")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_sqlite_database_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, folder: Path, what: str
) -> None:
    database = folder / "desk.sqlite"
    sqlite3.connect(database).execute("VACUUM").connection.close()
    database.chmod(0o444 if what == "file" else 0o666)
    folder.chmod(0o777 if what == "file" else 0o555)
    place = database if what == "file" else folder
    wrapper: Any = SimpleNamespace(vendor="sqlite", alias="default", settings_dict={"NAME": str(database)})
    monkeypatch.setattr(health, "connections", {"default": wrapper})
    with plain_user():
        finding = probes.DatabaseProbe(alias="default").run()
        with pytest.raises(OperationalError), health.own_connection("default"):
            pass
        # `migrate` asks this before it does anything.
        monkeypatch.setattr(checks, "connections", {"default": wrapper})
        told = checks.files_can_be_written(None, databases=["default"])
    assert (str(finding.status), finding.message) == (
        "error",
        f"Can't be used: the {what} {place} is read-only for this process",
    )
    words = f"Database 'default': the {what} {place} is read-only for this process."
    assert [(message.id, message.msg) for message in told] == [("emo.E012", words)]
    assert checks.files_can_be_written in registry.get_checks()
