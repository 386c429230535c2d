"""Every command line of the documentation is run, with all its options, on a desk of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import documented
from tests.desk import catches, soon
from tests.legacy_files import DRAFT
from tests.run import PROJECT

# The commands are tried on each engine by the tests of their own.
pytestmark = pytest.mark.once

EVENT = {
    "event_type": "trade",
    "symbol": "SPY",
    "price": "400.5",
    "source": "docs",
    "timestamp": "2025-11-03T15:00:00Z",
}
# What a line may end with on this desk, where that is not 0: (beginning of the line, exit statuses, what it says).
OTHERWISE = (
    ("create_roles", {2}, "SQLite has no roles"),
    ("shard_events", {2}, "EMO_MARKET_SHARDS names 0 databases"),
    ("positions import", {1}, "import needs a file"),
    ("deploy prod", {1}, "this desk is dev (EMO_ENV), not prod"),
    ("send_health_report", {2}, "EMO_EMAIL_URL"),
    # Neither a worker nor a monitor runs, and a machine that is busy is a warning.
    ("system_check", {1}, ""),
    ("healthcheck", {0, 1}, ""),
)


@dataclass
class Desk:
    """With the demonstration's orders; `folder` holds everything that it writes."""

    folder: Path
    environment: dict[str, str]
    count: int = 1000
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.documented"],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, stdin: str = "") -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([words, stdin]) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def done(self, *words: str, stdin: str = "") -> str:
        answer = self.run(*words, stdin=stdin)
        assert answer["status"] == 0, answer
        return str(answer["out"])

    def value(self, sql: str) -> str:
        with closing(sqlite3.connect(self.environment["EMO_SQLITE_PATH"])) as connection:
            return str(connection.execute(sql).fetchone()[0])

    def order(self) -> str:
        return str(UUID(self.value("SELECT id FROM staged_orders ORDER BY created_at LIMIT 1")))

    def policy_file(self, quantity: int) -> Path:
        text = (PROJECT / "orders/default_policy.yaml").read_text()
        assert "max_order_quantity: 500 " in text
        file = self.folder / f"policy-{quantity}.yaml"
        file.write_text(text.replace("max_order_quantity: 500 ", f"max_order_quantity: {quantity} "))
        return file

    def next(self) -> int:
        self.count += 1
        return self.count

    def proposed(self) -> str:
        """The number of a version that waits: it loosens a limit."""
        file = self.policy_file(self.next())
        self.done("policy", "propose", str(file), "--by", "olga", "--reason", "growth")
        return self.value("SELECT max(number) FROM policy_versions")

    def token(self) -> str:
        """The prefix of a new token."""
        name = f"spare-{self.next()}"
        self.done("api_token", "create", name, "--owner", "trader", "--scope", "read", "--days", "9")
        return self.value(f"SELECT prefix FROM api_tokens WHERE name = '{name}'")  # our own name


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMO_", "DATABASE", "POSTGRES"))}
    environment = {
        **kept,
        "EMO_ENV": "dev",
        "DJANGO_SETTINGS_MODULE": "emo_site.settings",
        "EMO_DATA_DIR": str(folder / "data"),
        "EMO_SQLITE_PATH": str(folder / "emo.sqlite3"),
        "EMO_BACKUP_DIR": str(folder / "backups"),
        "EMO_AUDIT_ANCHOR_FILE": str(folder / "audit-anchors.jsonl"),
        "EMO_REPORT_EMAILS": "desk@example.com",
    }
    key = ("backup", "--make-key", str(folder / "key"))
    subprocess.run([sys.executable, "manage.py", *key], cwd=PROJECT, env=environment, check=True)
    desk = Desk(folder, {**environment, "EMO_BACKUP_KEY_FILE": str(folder / "key")})
    try:
        desk.done("migrate_all")
        desk.done("load_demo")
        desk.done("shell", "--no-imports", "-c", PEOPLE)
        desk.done("anchor_audit")
        desk.done("backup")
        desk.done("verify_backup")
        desk.done("rollup_performance")
        time.sleep(1)  # a backup is named by its second
        desk.done("deploy", "dev")
        write_files(folder)
        yield desk
    finally:
        assert desk.process.stdin
        desk.process.stdin.close()
        desk.process.wait(30)
        shutil.rmtree(folder)


def write_files(folder: Path) -> None:
    (folder / "events.jsonl").write_text(json.dumps(EVENT) + "\n")
    (folder / "events.csv").write_text(",".join(EVENT) + "\n" + ",".join(EVENT.values()) + "\n")
    table = pa.table({name: [value] for name, value in EVENT.items()})
    pq.write_table(table, folder / "events.parquet")
    (folder / "legacy").mkdir()
    (folder / "legacy/order_drafts").mkdir()
    (folder / "legacy/order_drafts/order.json").write_text(json.dumps(DRAFT))


PEOPLE = """
from tests.factories import person
person("trader", "trader"); person("olga", "operator"); person("rose", "risk officer")
"""
DOCUMENTED = sorted(
    {(command, tuple(call)) for _, command, rest in documented.synopses() for call in documented.calls(rest)}
)
ENDLESS = ("monitor", "worker")


def with_values(desk: Desk, command: str, words: tuple[str, ...]) -> list[str]:
    """The line with something real for each word that stands for it."""
    file = {
        "ingest_events": desk.folder / ("events.csv" if {"csv", "F"} & set(words) else "events.jsonl"),
        "policy": desk.policy_file(desk.next()),
        "backup": desk.folder / f"key-{time.monotonic_ns()}",
        "order_dossier": desk.folder / "dossier.json",
        "restore": next((desk.folder / "backups").glob("*.age"), None),
        "verify_audit": desk.folder / "audit-anchors.jsonl",
        "verify_backup": next((desk.folder / "backups").glob("*.age"), None),
    }.get(command)
    values: dict[str, Any] = {
        "FILE": file,
        "COPY.jsonl": desk.folder / "audit-anchors.jsonl",
        "PATH": desk.folder / ("legacy" if command == "import_legacy" else "report.html"),
        "ORDER": desk.order(),
        "ID": desk.order(),
        "NAME": {"api_token": "bot-9", "create_roles": "emo_a"}.get(command, "momentum"),
        "USER": "rose" if {"approve", "withdraw", "reduce"} & set(words) else "olga",
        "TEXT": "because",
        "ADDRESS": "desk@example.com",
        "ALIAS": "default",
        "F": "csv",
        "N": "1",
        "S": "20",
        "DAY": "2025-11-03",
        "TIME": "2099-01-01T00:00:00Z"
        if "--effective-from" in words
        else f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
    }
    if "NUMBER" in words:
        values["NUMBER"] = desk.proposed()
    if "PREFIX" in words:
        values["PREFIX"] = desk.token()
    near = [re.sub("^(/etc/emo|/mnt/elsewhere)/", f"{desk.folder}/", word) for word in words]
    return [str(values.get(word, word)) for word in near]


@pytest.mark.parametrize(
    ("command", "words"), [each for each in DOCUMENTED if each[0] not in ENDLESS or "--once" in each[1]]
)
def test_a_documented_line_does_what_it_is_there_for(desk: Desk, command: str, words: tuple[str, ...]) -> None:
    given = with_values(desk, command, words)
    if command in ("backup", "deploy"):
        time.sleep(1)
    answer = desk.run(command, *given, stdin=json.dumps(EVENT) + "\n")
    line = " ".join((command, *words))
    _, statuses, says = next((each for each in OTHERWISE if line.startswith(each[0])), ("", {0}, ""))
    assert answer["status"] in statuses, answer
    assert says in answer["out"] + answer["err"]


@pytest.mark.parametrize("command", ENDLESS)
def test_what_runs_for_ever_ends_when_it_is_told_to(desk: Desk, command: str) -> None:
    line = [sys.executable, "manage.py", command]
    process = subprocess.Popen(line, cwd=PROJECT, env=desk.environment, stderr=subprocess.PIPE, text=True)
    # Before that it is still starting, which ends as any program does that nobody has told what to do.
    assert soon(lambda: catches(process.pid, signal.SIGTERM), 60)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
