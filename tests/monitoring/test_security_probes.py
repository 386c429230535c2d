"""What the desk could do that it never does, and who else can read its files, is told by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection

from emo_site import file_modes
from emo_site.db.access import Access, look_at_access
from emo_site.db.roles import audit_tables
from emo_site.env import Environment
from monitoring import security_probes
from monitoring.security_probes import AccessProbe, FilesProbe

RIGHT = Access(
    user="emo_app",
    is_superuser=False,
    makes_roles=False,
    owned=(),
    rewritable=(),
    unreadable=(),
    tls="TLSv1.3",
    over_network=True,
    checksums=True,
)
LOST = OperationalError("connection to server at 127.0.0.1, port 5 failed: refused\nIs the server running?")
FIVE = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize(
    ("environment", "facts", "expected"),
    [
        ("prod", RIGHT, ("healthy", "as emo_app, TLSv1.3")),
        ("prod", replace(RIGHT, tls=None, over_network=False), ("healthy", "as emo_app, on this machine")),
        ("prod", replace(RIGHT, tls=None), ("warning", "the connection is not encrypted")),
        ("staging", replace(RIGHT, is_superuser=True, owned=FIVE), ("warning", "emo_app is a superuser")),
        ("staging", replace(RIGHT, makes_roles=True), ("warning", "emo_app may make roles")),
        ("staging", replace(RIGHT, owned=FIVE), ("warning", "emo_app owns a, b, c, d and 1 more")),
        (
            "prod",
            replace(RIGHT, rewritable=("order_events",), checksums=False),
            ("warning", "emo_app may change or remove rows of order_events; the server keeps no data checksums"),
        ),
        ("dev", replace(RIGHT, is_superuser=True), ("healthy", "as emo_app, TLSv1.3 (dev: emo_app is a superuser)")),
        ("dev", replace(RIGHT, unreadable=("later",)), ("error", "emo_app may not read later.")),
        ("prod", LOST, ("error", "Can't be used: connection to server at 127.0.0.1, port 5 failed: refused")),
    ],
)
def test_access(
    monkeypatch: pytest.MonkeyPatch, settings: Any, environment: str, facts: Any, expected: tuple[str, str]
) -> None:
    @contextmanager
    def nothing(alias: str) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(alias=alias)

    def look(_: object) -> Access:
        if isinstance(facts, Exception):
            raise facts
        return facts

    settings.EMO_ENV = environment
    monkeypatch.setattr(security_probes, "own_connection", nothing)
    monkeypatch.setattr(security_probes, "look_at_access", look)
    finding = AccessProbe(alias="default").run()
    assert (str(finding.status), finding.message) == expected
    assert bool(finding.remedy) == (finding.status != "healthy")


@pytest.mark.postgresql
def test_access_of_the_superuser_that_runs_the_tests(db: None) -> None:
    found = look_at_access(connection)
    assert found.user == "postgres"
    assert found.is_superuser
    assert {"staged_orders", "order_events", "auth_user_groups", "market_events"} <= set(found.owned)
    assert found.rewritable == tuple(audit_tables())
    assert (found.unreadable, found.tls, found.over_network) == ((), None, False)
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_checksums")
        assert found.checksums == (cursor.fetchone()[0] == "on")


def _made(path: Path, mode: int, folder_mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(mode)
    path.parent.chmod(folder_mode)
    return path


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """pytest's own folders let nobody else in, and then nothing in them is exposed."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("mode", "folder_mode", "why"),
    [
        (0o600, 0o755, ""),
        (0o640, 0o755, ""),
        (0o644, 0o755, "everybody may read it"),
        (0o602, 0o755, "everybody may change it"),
        (0o644, 0o700, ""),
        (0o644, 0o710, ""),
        (0o644, 0o711, "everybody may read it"),
    ],
)
def test_file_that_others_can_get_at(open_folder: Path, mode: int, folder_mode: int, why: str) -> None:
    path = _made(open_folder / "secrets" / "key", mode, folder_mode)
    assert file_modes.exposed([path]) == ([f"{path} ({mode:04o}, {why})"] if why else [])


def test_file_that_does_not_exist_is_not_exposed(tmp_path: Path) -> None:
    assert file_modes.exposed([tmp_path / "none"]) == []


@pytest.mark.parametrize(("environment", "status"), [("prod", "warning"), ("staging", "warning"), ("dev", "healthy")])
def test_probe_of_files_looks_at_data_databases_and_secrets(
    monkeypatch: pytest.MonkeyPatch, open_folder: Path, settings: Any, environment: str, status: str
) -> None:
    key = _made(open_folder / "run" / "key", 0o644)
    database = _made(open_folder / "db" / "desk.sqlite", 0o600)
    wal = _made(open_folder / "db" / "desk.sqlite-wal", 0o644)
    data = open_folder / "data"
    data.mkdir(0o755)
    backups = open_folder / "backups"
    backups.mkdir(0o755)
    settings.EMO_ENV, settings.EMO_DATA_DIR, settings.EMO_SECRET_FILES = environment, data, [str(key)]
    settings.EMO_BACKUP_DIR = backups
    databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}}
    monkeypatch.setattr(django_settings, "DATABASES", databases)
    finding = FilesProbe().run()
    assert str(finding.status) == status
    assert finding.metrics["exposed"] == [
        f"{data} (0755, everybody may read it)",
        f"{backups} (0755, everybody may read it)",
        f"{wal} (0644, everybody may read it)",
        f"{key} (0644, everybody may read it)",
    ]
    for path in (data, backups, wal, key):
        path.chmod(0o700)
    assert (str(FilesProbe().run().status), FilesProbe().run().message) == ("healthy", "others can't get at them")


def test_files_that_held_secrets_are_remembered(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    environment = Environment({"A_FILE": str(tmp_path / "key"), "B": "plain"})
    assert (environment.secret("A"), environment.secret("B"), environment.secret("C")) == ("k", "plain", "")
    assert environment.secret_files == [str(tmp_path / "key")]
