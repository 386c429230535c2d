"""While the database is away alerts go out; once it is back, what was told is written down. On real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BACKEND
from tests.desk import environment_of, manage
from tests.incidents import MINUTE, NOW
from tests.receivers import Mailbox, Receiver, http_receiver, smtp_server
from tests.run import PROJECT
from tests.servers import postgresql_server

ANNA = "anna@example.com"


class Worker:
    """A process with a teller."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.telling"],
            env=environment_of(environment)
            | {"PYTHONPATH": str(PROJECT), "DJANGO_SETTINGS_MODULE": "emo_site.settings"},
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self, *numbers: int, recovered: tuple[int, ...] = (), now: datetime = NOW) -> None:
        order = {"now": now.isoformat(), "open": numbers, "recovered": recovered, "disconnect": BACKEND == "sqlite"}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[Worker]:
    process = Worker(environment)
    try:
        yield process
    finally:
        process.end()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """The URL of an empty one, what takes it away, and what brings it back as it was."""
    if BACKEND == "sqlite":
        here, away = tmp_path / "here", tmp_path / "away"
        here.mkdir()
        yield f"sqlite:///{here}/desk.sqlite", lambda: os.rename(here, away), lambda: os.rename(away, here)
        return
    with postgresql_server() as server:
        yield server.url, server.stop, server.start


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with smtp_server() as mailbox:
        yield mailbox


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as receiver:
        yield receiver


def migrated(url: str, mailbox: Mailbox) -> dict[str, str]:
    environment = {
        "EMO_ENV": "dev",
        "EMO_DB_URL": url,
        "EMO_EMAIL_URL": f"smtp://127.0.0.1:{mailbox.port}",
        "EMO_ALERT_EMAILS": ANNA,
    }
    ran = manage("migrate", "--verbosity", "0", environment=environment)
    assert ran.status == 0, ran.err
    return environment


def asked(environment: dict[str, str], expression: str) -> Any:
    code = f"import json; from monitoring.models import *; print(json.dumps({expression}))"
    ran = manage("shell", "--no-imports", "-c", code, environment=environment)
    assert ran.status == 0, ran.err
    return json.loads(ran.out)


def rows(environment: dict[str, str]) -> Any:
    told = "list(Notification.objects.order_by('created_at').values_list('kind', 'subject', 'attempts', 'failure'))"
    return asked(environment, told)


OPENED = ["opened", "[EMO dev] error: component 1", 1, ""]
RECOVERED = ["recovered", "[EMO dev] recovered: component 1 after 5 min", 1, ""]


def test_alerts_go_out_while_the_database_is_away_and_are_written_down_when_it_is_back(
    database: Any, mailbox: Mailbox, receiver: Receiver
) -> None:
    url, take_away, bring_back = database
    environment = migrated(url, mailbox)
    hook = f"AlertRule.objects.get().channels.create(name='hook', kind='webhook', url='{receiver.url}').name"
    assert asked(environment, hook) == "hook"
    with worker(environment) as desk:
        desk.round()
        take_away()
        desk.round(1, now=NOW + MINUTE)
        desk.round(1, now=NOW + 2 * MINUTE)
        assert [to for to, _ in mailbox.mails] == [[ANNA]]
        assert [post.document["action"] for post in receiver.posts] == ["trigger"]
        # The pauses of repetition and the end are counted from memory too.
        desk.round(1, now=NOW + 61 * MINUTE)
        desk.round(recovered=(1,), now=NOW + 62 * MINUTE)
        desk.round(now=NOW + 63 * MINUTE)
        assert [post.document["kind"] for post in receiver.posts] == ["opened", "repeated", "recovered"]
        bring_back()
        desk.round(now=NOW + 64 * MINUTE)
        desk.round(now=NOW + 65 * MINUTE)
    repeated = ["repeated", "[EMO dev] still error: component 1", 1, ""]
    assert rows(environment) == [OPENED, OPENED, repeated, repeated, RECOVERED, RECOVERED]
    assert asked(environment, "Notification.objects.filter(sent_at=None).count()") == 0
    with worker(environment) as successor:
        successor.round(1, now=NOW + 66 * MINUTE)
    assert len(receiver.posts) == len(mailbox.mails) == 3


def test_a_worker_that_starts_without_the_database_alerts_whom_the_settings_name(
    database: Any, mailbox: Mailbox
) -> None:
    url, take_away, bring_back = database
    environment = migrated(url, mailbox)
    take_away()
    with worker(environment) as desk:
        desk.round(1)
        desk.round(1, now=NOW + MINUTE)
        assert [(to, mail["Subject"]) for to, mail in mailbox.mails] == [([ANNA], "[EMO dev] error: component 1")]
        bring_back()
        desk.round(1, now=NOW + 2 * MINUTE)
        desk.round(recovered=(1,), now=NOW + 3 * MINUTE)
    assert rows(environment) == [OPENED, RECOVERED]
    assert len(mailbox.mails) == 2


def test_a_new_desk_tells_nobody_until_somebody_is_named(tmp_path: Path) -> None:
    environment = {"EMO_ENV": "dev", "EMO_DB_URL": f"sqlite:///{tmp_path}/desk.sqlite"}
    assert manage("migrate", "--verbosity", "0", environment=environment).status == 0
    found = asked(environment, "[list(AlertChannel.objects.values_list('enabled')), AlertRule.objects.count()]")
    assert found == [[[False]], 1]
