"""What a backup says about a database, and how a copy is compared with it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db.backup import facts, proof
from emo_site.db.backup.errors import NotProven
from emo_site.db.backup.manifest import DatabaseFacts, Trail
from emo_site.db.timescale.hypertables import existing
from orders.models import OrderEvent, StagedOrder
from tests.conftest import BACKEND
from tests.factories import NOW, equity, person, staged

HEADS = {"orders.OrderEvent": ""}
COLUMNS = ("id", "order_id", "sequence", "at", "actor_name", "reason", "seen")


def head_of_a_chain(connection: BaseDatabaseWrapper) -> str:
    """Stands for what a chained table will offer."""
    return f"head of {connection.alias}"


@pytest.fixture
def order(db: None) -> StagedOrder:
    equity()
    return staged(person("trader", "trader"))


def event(order: StagedOrder, number: int, **changes: Any) -> dict[str, Any]:
    values = {
        "id": uuid.UUID(int=(0x019A << 112) + number),
        "order_id": order.pk,
        "sequence": 100 + number,
        "at": NOW + timedelta(microseconds=number),
        "actor_name": "mäkler",
        "reason": 'a "quote"\nand a line \u2028 \\',
        "seen": {"score": 0.1, "b": [1, None, True], "a": {"ü": "x"}},
    }
    return {**values, **changes}


def line(values: dict[str, Any]) -> str:
    shown = [
        str(values["id"]),
        str(values["order_id"]),
        values["sequence"],
        values["at"].astimezone(UTC).isoformat(timespec="microseconds"),
        values["actor_name"],
        values["reason"],
        values["seen"],
    ]
    return json.dumps(shown, sort_keys=True, separators=(",", ":")) + "\n"


def test_digest_is_over_every_row_in_key_order_whatever_the_engine(order: StagedOrder) -> None:
    rows = [event(order, number) for number in range(5)]
    for values in reversed(rows):
        OrderEvent.objects.create(kind="staged", to_status="draft", **values)
    own = OrderEvent.objects.exclude(sequence__gte=100).order_by("pk").values(*COLUMNS)
    expected = "".join(line(values) for values in sorted([*own, *rows], key=lambda values: values["id"]))
    found = facts.digest(connection, OrderEvent, columns=COLUMNS)
    assert found.sha256 == hashlib.sha256(expected.encode()).hexdigest()
    assert (found.rows, found.head) == (len(own) + 5, "")
    assert found.last_id == str(max(values["id"] for values in [*own, *rows]))


@pytest.mark.parametrize(
    "change", [{"reason": "better"}, {"seen": {}}, {"at": NOW}, {"sequence": 7}, {"id": uuid.UUID(int=0x019B << 112)}]
)
def test_digest_tells_one_changed_value(order: StagedOrder, change: dict[str, Any]) -> None:
    from django.db import transaction

    def digested(**changes: Any) -> Trail:
        with transaction.atomic():
            OrderEvent.objects.create(kind="staged", to_status="draft", **event(order, 1, **changes))
            found = facts.digest(connection, OrderEvent, columns=COLUMNS)
            transaction.set_rollback(True)
        return found

    assert digested().sha256 == digested().sha256
    assert digested().sha256 != digested(**change).sha256


def test_empty_trail_has_a_digest(db: None) -> None:
    found = facts.digest(connection, OrderEvent, columns=COLUMNS)
    assert found == Trail(columns=COLUMNS, rows=0, last_id="", sha256=hashlib.sha256(b"").hexdigest())


def test_column_that_this_code_does_not_know_is_refused(db: None) -> None:
    with pytest.raises(NotProven, match="order_events: this version of the desk does not know later"):
        facts.digest(connection, OrderEvent, columns=("id", "later"))


def test_head_of_a_chain_is_asked_for_where_there_is_one(order: StagedOrder) -> None:
    gathered = facts.gather(connection, heads={"orders.OrderEvent": f"{__name__}.head_of_a_chain"})
    assert gathered.trails["orders.OrderEvent"].head == "head of default"


def test_facts_of_a_database(order: StagedOrder) -> None:
    found = facts.gather(connection, heads=HEADS)
    assert found.engine == BACKEND
    assert found.tables["order_events"] == OrderEvent.objects.count()
    assert found.tables["staged_orders"] == 1
    assert "orders.0001_initial" in found.migrations
    assert "index staged_orders.staged_orders_created" in found.structure
    guard = "order_events_no_update" if BACKEND == "sqlite" else "order_events_append_only"
    assert f"trigger order_events.{guard}" in found.structure
    if BACKEND != "sqlite":
        assert "constraint staged_orders.staged_orders_four_eyes" in found.structure
    assert set(found.hypertables) == existing(connection)
    assert (found.extension_version != "") == (BACKEND == "timescaledb")
    assert any(
        following > User.objects.count()
        for name, following in found.sequences.items()
        if "auth_user_id" in name or name == "auth_user.id"
    )


def test_facts_are_the_same_when_asked_twice(order: StagedOrder) -> None:
    assert facts.gather(connection, heads=HEADS) == facts.gather(connection, heads=HEADS)


def test_sound_database_has_nothing_broken_and_nothing_behind(order: StagedOrder) -> None:
    assert facts.broken(connection) == []
    assert facts.behind(connection) == []


def test_sequence_that_is_behind_its_column_is_told(order: StagedOrder) -> None:
    User.objects.create(pk=1_000_000, username="later")
    with connection.cursor() as cursor:
        if BACKEND == "sqlite":
            cursor.execute("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'auth_user'")
        else:
            cursor.execute("SELECT setval('auth_user_id_seq', 1)")
    [told] = facts.behind(connection)
    assert told.endswith("goes on with 2, but auth_user.id has 1000000")


@pytest.mark.postgresql
def test_constraint_that_is_not_valid_is_told(order: StagedOrder) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE strategy_performance ADD CONSTRAINT made_up CHECK (true) NOT VALID")
    assert facts.broken(connection) == ["constraint strategy_performance.made_up is not valid"]


@pytest.mark.sqlite
def test_key_that_leads_nowhere_is_told(order: StagedOrder) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA defer_foreign_keys = ON")
        cursor.execute("UPDATE staged_orders SET created_by_id = 4711")
        assert "names a row of auth_user that does not exist" in facts.broken(connection)[0]
        cursor.execute("UPDATE staged_orders SET created_by_id = (SELECT min(id) FROM auth_user)")


# ---- the comparison -------------------------------------------------------------------------------------------------

TRAIL = Trail(columns=("id",), rows=2, last_id="b", sha256="aa")
SOUND = DatabaseFacts(
    alias="default",
    engine="timescaledb",
    server_version="17.5",
    server_major=17,
    migrations=("a.0001", "a.0002"),
    tables={"orders": 3, "events": 5},
    structure=("index a.b", "trigger a.c"),
    sequences={"s": 4},
    hypertables={"events": 2},
    trails={"orders.OrderEvent": TRAIL},
)
DIFFERENT: dict[str, tuple[Callable[[DatabaseFacts], DatabaseFacts], list[str]]] = {
    "nothing": (lambda sound: sound, []),
    "another version": (lambda sound: replace(sound, server_version="18.1", server_major=18), []),
    "sequence ahead": (lambda sound: replace(sound, sequences={"s": 9}), []),
    "more structure": (lambda sound: replace(sound, structure=(*sound.structure, "index a.z")), []),
    "row lost": (
        lambda sound: replace(sound, tables={"orders": 2, "events": 5}),
        ["table orders has 2 rows, 3 were backed up"],
    ),
    "table lost": (lambda sound: replace(sound, tables={"orders": 3}), ["table events is missing"]),
    "table too many": (
        lambda sound: replace(sound, tables={**sound.tables, "x": 0}),
        ["table x is not in the backup"],
    ),
    "chunk lost": (
        lambda sound: replace(sound, hypertables={"events": 1}),
        ["hypertable events has 1 chunks, 2 were backed up"],
    ),
    "ordinary table": (lambda sound: replace(sound, hypertables={}), ["hypertable events is missing"]),
    "migration lost": (lambda sound: replace(sound, migrations=("a.0001",)), ["migration a.0002 is missing"]),
    "migration too many": (
        lambda sound: replace(sound, migrations=(*sound.migrations, "a.0003")),
        ["migration a.0003 is not in the backup"],
    ),
    "trigger lost": (lambda sound: replace(sound, structure=("index a.b",)), ["trigger a.c is missing"]),
    "sequence behind": (lambda sound: replace(sound, sequences={"s": 3}), ["sequence s goes on with 3, not 4"]),
    "sequence lost": (lambda sound: replace(sound, sequences={}), ["sequence s is missing"]),
    "trail lost": (lambda sound: replace(sound, trails={}), ["audit trail orders.OrderEvent is missing"]),
    "trail changed": (
        lambda sound: replace(sound, trails={"orders.OrderEvent": replace(TRAIL, sha256="bb")}),
        ["audit trail orders.OrderEvent: sha256 is bb, not aa"],
    ),
    "another head": (
        lambda sound: replace(sound, trails={"orders.OrderEvent": replace(TRAIL, head="x")}),
        ["audit trail orders.OrderEvent: head is x, not "],
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_difference_is_told(case: str) -> None:
    change, expected = DIFFERENT[case]
    assert proof.differences(SOUND, change(SOUND)) == expected
