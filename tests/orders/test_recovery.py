"""What an outage left behind among orders and events is found, put right where that is honest, and then gone."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from monitoring.models import IngestCheckpoint, MarketEvent
from orders import recovery, repairs, workflow
from orders.choices import EventKind, OrderStatus
from orders.fill import Fill
from orders.history import import_history
from orders.management.commands import recover as command
from orders.models import ExecutedOrder, OrderEvent, StagedOrder
from orders.workflow import Refused
from tests.factories import NOW, equity, iron_condor, person, staged
from tests.tampering import any_step, released

LATER = NOW + timedelta(minutes=30)
S = OrderStatus


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.EMO_DATA_DIR = tmp_path


@pytest.fixture(autouse=True)
def _own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the command alone: the reader of events knows a time by its class, which a frozen clock exchanges."""

    class Clock:
        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return LATER.astimezone(zone)

    monkeypatch.setattr(command, "datetime", Clock)


def submitted(trader: User, reviewer: User, **changes: Any) -> StagedOrder:
    order = staged(trader, **changes)
    workflow.approve(order.pk, actor=reviewer, now=NOW)
    return workflow.submit(order.pk, actor=trader, now=NOW)


def filled(
    order: StagedOrder, trader: User, quantity: str = "1", identifier: str = "x1", leg: int | None = None
) -> None:
    fill = Fill(execution_id=identifier, price=Decimal("400.5"), quantity=Decimal(quantity), executed_at=NOW, leg=leg)
    workflow.record_execution(order.pk, fill, actor=trader, now=NOW)


def recover(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and what was found."""
    out = StringIO()
    status = 0
    try:
        call_command("recover", "--json", *arguments, stdout=out)
    except SystemExit as ended:
        status = int(str(ended.code))
    document = json.loads(out.getvalue())
    assert document["not_looked"] == []
    assert document["left"] == sum(item["left"] for item in document["found"])
    return status, document["found"]


def found(*arguments: str) -> list[tuple[str, str]]:
    return [(item["kind"], item["found"]) for item in recover(*arguments)[1]]


def damaged(order: StagedOrder, **columns: Any) -> None:
    """As somebody beside the desk would, or a file system that lost a page."""
    with any_step():
        assert StagedOrder.objects.filter(pk=order.pk).update(**columns) == 1


def trail(order: StagedOrder) -> list[tuple[int, str, str]]:
    return list(order.events.order_by("sequence").values_list("sequence", "kind", "to_status"))


def test_desk_that_is_as_it_should_be_has_nothing_to_recover(trader: User, reviewer: User) -> None:
    filled(submitted(trader, reviewer), trader, "2")
    partly = submitted(trader, reviewer, client_order_id="partly", price=Decimal("399"))
    filled(partly, trader, "1", "x2")
    workflow.cancel(partly.pk, actor=trader, now=NOW)
    condor = submitted(trader, reviewer, **_condor())
    for leg in (1, 2, 3, 4):
        filled(condor, trader, "1", f"leg{leg}", leg)
    staged(trader, price=Decimal("398"))
    assert recover() == (0, [])
    assert recover("--yes") == (0, [])


def _condor() -> dict[str, Any]:
    made = iron_condor()
    return {
        "side": made.side,
        "quantity": made.quantity,
        "price": made.price,
        "strategy": "without a window",
        "legs": made.legs,
    }


def test_order_that_the_broker_has_acknowledged_waits_in_the_market(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    assert [kind for kind, _ in found()] == ["unanswered order"]
    workflow.acknowledge(order.pk, actor=trader, now=NOW, broker_order_id="B-1")
    assert recover() == (0, [])


def test_order_without_an_answer_is_marked_once_and_stays_a_persons_until_it_is_answered(
    trader: User, reviewer: User
) -> None:
    order = submitted(trader, reviewer)
    status, [item] = recover()
    assert status == 1
    assert (item["kind"], item["subject"]) == ("unanswered order", order.client_order_id)
    assert item["found"] == "submitted 2025-11-03 15:00:00 UTC, no answer on record"
    assert item["can_be_done"] is True
    assert trail(order)[-1][1] == EventKind.SUBMITTED

    status, [item] = recover("--yes")
    assert (status, item["done"]) == (1, "its history says that it is to be reconciled")
    order.refresh_from_db()
    assert order.status == S.SUBMITTED
    assert trail(order)[-1] == (4, EventKind.UNANSWERED, S.SUBMITTED)
    event = order.events.get(kind=EventKind.UNANSWERED)
    assert (event.actor, event.actor_name) == (None, "recover")
    assert event.reason == (
        "no answer since 2025-11-03 15:00:00 UTC: to be reconciled with the broker, not to be sent again"
    )

    # It is said once, and found until a person has recorded what the broker says.
    status, [item] = recover("--yes")
    assert (status, item["can_be_done"], item["done"]) == (1, False, None)
    assert len(trail(order)) == 4
    filled(order, trader, "2")
    assert recover() == (0, [])


def test_order_that_another_system_submitted_waits_for_its_answer_too(trader: User, reviewer: User) -> None:
    order = staged(trader)
    import_history(
        order.pk, status=S.SUBMITTED, actor=trader, now=NOW, reason="old system", reviewer=reviewer, reviewed_at=NOW
    )
    status, [item] = recover("--yes")
    assert (status, item["kind"], item["subject"]) == (1, "unanswered order", order.client_order_id)
    assert trail(order)[-1][1:] == (EventKind.UNANSWERED, S.SUBMITTED)
    # Whose trail lost that event is found all the same.
    _forget(OrderEvent.objects.filter(order=order, kind__in=(EventKind.IMPORTED, EventKind.UNANSWERED)))
    assert "unanswered order" in dict(found())


def test_two_who_recover_at_once_leave_one_mark(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    seen = [list(recovery.unanswered(now=LATER, answer_within=timedelta(0))) for _ in range(2)]
    for [leftover], refusal in zip(seen, ("", "says so already"), strict=True):
        assert leftover.mend is not None
        if refusal:
            with pytest.raises(recovery.NotMended, match=refusal):
                leftover.mend()
        else:
            leftover.mend()
    assert [kind for _, kind, _ in trail(order)].count(EventKind.UNANSWERED) == 1


def test_order_that_was_submitted_a_moment_ago_may_still_be_answered(trader: User, reviewer: User) -> None:
    submitted(trader, reviewer)
    assert recover("--answer-within", "30") == (0, [])
    assert recover("--answer-within", "29")[0] == 1


def test_order_that_was_answered_meanwhile_is_not_marked(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    [leftover] = recovery.unanswered(now=LATER, answer_within=timedelta(minutes=1))
    filled(order, trader, "2")
    assert leftover.mend is not None
    with pytest.raises(recovery.NotMended, match="waits for no answer"):
        leftover.mend()
    assert trail(order)[-1][1] == EventKind.FILLED


@pytest.mark.parametrize(
    ("fills", "damage", "words", "after"),
    [
        (
            ["1"],
            {"filled_quantity": 0, "average_fill_price": None, "status": S.SUBMITTED},
            "its fills add up to 1 at 400.5, the order says 0 at no price",
            (S.PARTIALLY_FILLED, "1"),
        ),
        (
            ["1", "1"],
            {"filled_quantity": 1, "status": S.PARTIALLY_FILLED},
            "its fills add up to 2 at 400.5, the order says 1 at 400.5",
            (S.EXECUTED, "2"),
        ),
        (
            ["2"],
            {"status": S.PARTIALLY_FILLED},
            "its fills add up to 2 of 2, it is partially_filled",
            (S.EXECUTED, "2"),
        ),
        (["1"], {"status": S.SUBMITTED}, "1 are filled, it is still submitted", (S.PARTIALLY_FILLED, "1")),
        (
            ["2"],
            {"average_fill_price": Decimal(1)},
            "its fills add up to 2 at 400.5, the order says 2 at 1",
            (S.EXECUTED, "2"),
        ),
    ],
)
def test_order_that_is_behind_its_fills_is_added_up_anew(
    trader: User, reviewer: User, fills: list[str], damage: dict[str, Any], words: str, after: tuple[str, str]
) -> None:
    order = submitted(trader, reviewer)
    for number, quantity in enumerate(fills):
        filled(order, trader, quantity, f"x{number}")
    order.refresh_from_db()
    right = (order.average_fill_price, order.performance_score)
    damaged(order, **damage)
    assert ("fills disagree", words) in found()
    _, items = recover("--yes")
    [item] = [item for item in items if item["kind"] == "fills disagree"]
    assert item["left"] is False
    order.refresh_from_db()
    assert (order.status, str(order.filled_quantity.normalize())) == after
    assert (order.average_fill_price, order.performance_score) == right
    assert trail(order)[-1][1:] == (EventKind.RECOVERED, after[0])
    assert order.events.get(kind=EventKind.RECOVERED).reason == "added up anew from the fills on record"
    assert "fills disagree" not in dict(found())
    assert ExecutedOrder.objects.count() == len(fills)


def test_fills_that_are_missing_are_not_made_up(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    filled(order, trader, "1", "x1")
    filled(order, trader, "1", "x2")
    before = trail(order)
    with released(ExecutedOrder):
        ExecutedOrder.objects.filter(execution_id="x2").delete()
    words = "the order is executed with 2 filled, its fills on record add up to 1"
    assert found() == [("fills disagree", words)]
    status, [item] = recover("--yes")
    assert (status, item["can_be_done"], item["left"]) == (1, False, True)
    assert "compare the broker's report" in item["would"]
    with released(ExecutedOrder):
        ExecutedOrder.objects.all().delete()
    assert found() == [("fills disagree", "the order is executed with 2 filled, its fills on record add up to 0")]
    order.refresh_from_db()
    assert (order.status, order.filled_quantity, trail(order)) == (S.EXECUTED, 2, before)
    with pytest.raises(Refused, match="don't account for"):
        repairs.rebook(order.pk, now=LATER, actor="recover")


def test_order_that_says_executed_and_lacks_a_fill_is_a_persons_each_time(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    filled(order, trader, "1")
    damaged(order, status=S.EXECUTED)
    before = trail(order)
    for _ in range(2):
        status, items = recover("--yes")
        [item] = [item for item in items if item["kind"] == "fills disagree"]
        assert (status, item["can_be_done"], item["left"]) == (1, False, True)
    assert trail(order) == before


@pytest.mark.parametrize(
    ("quantity", "damage", "after"),
    [("1", {"average_fill_price": Decimal(1)}, S.CANCELLED), ("2", {"filled_quantity": 0}, S.EXECUTED)],
)
def test_cancelled_order_is_not_opened_again_by_adding_up(
    trader: User, reviewer: User, quantity: str, damage: dict[str, Any], after: str
) -> None:
    order = submitted(trader, reviewer)
    filled(order, trader, "1")
    workflow.cancel(order.pk, actor=trader, now=NOW)
    with released(ExecutedOrder):
        ExecutedOrder.objects.update(execution_quantity=Decimal(quantity))
    damaged(order, **damage)
    assert recover("--yes")[0] == 0
    order.refresh_from_db()
    assert (order.status, order.filled_quantity) == (after, Decimal(quantity))
    assert order.average_fill_price == Decimal("400.5")
    assert recover() == (0, [])
    with pytest.raises(Refused, match="says by now"):
        repairs.rebook(order.pk, now=LATER, actor="recover")


def test_order_that_another_system_executed_needs_no_fill_here(trader: User, reviewer: User) -> None:
    order = staged(trader)
    import_history(
        order.pk, status=S.EXECUTED, actor=trader, now=NOW, reason="old system", reviewer=reviewer, reviewed_at=NOW
    )
    assert recover() == (0, [])


def test_fills_of_an_order_that_never_went_to_a_broker_are_a_persons(trader: User, reviewer: User) -> None:
    order, other = submitted(trader, reviewer), staged(trader, price=Decimal("399"))
    filled(order, trader, "2")
    with released(ExecutedOrder):
        ExecutedOrder.objects.update(staged_order=other)
    kinds = dict(found("--yes"))
    assert kinds["fills disagree"]
    other.refresh_from_db()
    assert (other.status, other.filled_quantity) == (S.PENDING_REVIEW, 0)


def test_fill_without_an_order_is_kept_and_told(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    filled(order, trader, "2")
    stray = ExecutedOrder.objects.get()
    stray.pk, stray.execution_id = None, "stray"
    lost = staged(trader, price=Decimal("399")).pk
    with _without_foreign_keys():
        stray.staged_order_id = lost.__class__(int=lost.int ^ 1)
        stray.save(force_insert=True)
    try:
        status, [item] = recover("--yes")
        assert (status, item["kind"], item["subject"]) == (1, "fill without order", "stray")
        assert item["found"] == f"there is no order {stray.staged_order_id}"
        assert ExecutedOrder.objects.filter(execution_id="stray").exists()
    finally:
        with released(ExecutedOrder):
            ExecutedOrder.objects.filter(execution_id="stray").delete()
    assert recover() == (0, [])


class _without_foreign_keys:
    def __enter__(self) -> None:
        if connection.vendor == "postgresql":
            self._execute("SET session_replication_role = 'replica'")
        else:
            # Inside a transaction SQLite keeps to them until its end, where the stray row is gone again.
            self._execute("PRAGMA defer_foreign_keys = ON")

    def __exit__(self, *error: object) -> None:
        if connection.vendor == "postgresql":
            self._execute("SET session_replication_role = 'origin'")

    @staticmethod
    def _execute(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)


def test_count_that_is_behind_the_trail_is_set_right(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    damaged(order, event_count=1)
    words = "event_count is 1, the trail holds 3 events up to number 3"
    assert ("miscounted trail", words) in found("--answer-within", "60")
    assert recover("--yes", "--answer-within", "60")[0] == 0
    order.refresh_from_db()
    assert order.event_count == 4
    event = order.events.get(kind=EventKind.RECOVERED)
    assert (event.sequence, event.to_status) == (4, S.SUBMITTED)
    assert event.reason == "event_count said 1, the trail holds 3"
    assert recover("--answer-within", "60") == (0, [])
    # Without that, every further step would have been refused by the trail's own key.
    filled(order, trader, "2")


@pytest.mark.parametrize(("lost", "words"), [(3, "up to number 2"), (2, "up to number 3")])
def test_trail_that_lacks_events_is_not_counted_right(trader: User, reviewer: User, lost: int, words: str) -> None:
    order = submitted(trader, reviewer)
    _forget(OrderEvent.objects.filter(order=order, sequence=lost))
    status, items = recover("--yes", "--answer-within", "60")
    [item] = [item for item in items if item["kind"] == "miscounted trail"]
    assert (status, item["can_be_done"]) == (1, False)
    assert item["found"] == f"event_count is 3, the trail holds 2 events {words}"
    order.refresh_from_db()
    assert order.event_count == 3
    with pytest.raises(Refused, match="don't account for"):
        repairs.recount_events(order.pk, now=LATER, actor="recover")


def test_count_that_is_behind_a_trail_with_a_gap_is_a_persons(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    _forget(OrderEvent.objects.filter(order=order, sequence=2))
    damaged(order, event_count=1)
    [item] = [item for item in recover("--yes", "--answer-within", "60")[1] if item["kind"] == "miscounted trail"]
    assert item["can_be_done"] is False
    assert item["found"] == "event_count is 1, the trail holds 2 events up to number 3"
    with pytest.raises(Refused, match="don't account for"):
        repairs.recount_events(order.pk, now=LATER, actor="recover")


def _forget(events: Any) -> None:
    with released(OrderEvent):
        # The server's own statement: Django would ask for the rows first.
        events._raw_delete(events.db)


def test_status_that_no_event_tells_of_is_a_persons(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    damaged(order, status=S.APPROVED)
    assert found("--yes") == [("status without event", "the order is approved, its last event says submitted")]
    order.refresh_from_db()
    assert order.status == S.APPROVED
    # A count that is behind as well is not set right over it.
    damaged(order, event_count=1)
    assert [(item["kind"], item["can_be_done"]) for item in recover("--yes")[1]] == [("miscounted trail", False)]


GOOD = '{"symbol":"SPY","event_type":"trade","timestamp":"2025-11-03T15:00:00Z","price":1}'
BAD = '{"symbol":"SPY","event_type":"gossip","timestamp":"2025-11-03T15:00:00Z"}'


def quarantine(path: Path, *rows: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    records = [
        {"file": "x.jsonl", "line": number, "field": "event_type", "value": "", "reason": "", "row": row}
        for number, row in enumerate(rows, start=1)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_quarantined_rows_that_are_events_by_now_are_taken_in(db: None, tmp_path: Path) -> None:
    path = quarantine(tmp_path / "quarantine/x.jsonl", GOOD, BAD)
    status, [item] = recover()
    assert (status, item["kind"], item["subject"]) == (1, "quarantined events", str(path))
    assert item["found"] == "2 rows, 1 of them events by the rules of today"
    assert MarketEvent.objects.count() == 0

    status, [item] = recover("--yes")
    assert (status, item["left"]) == (1, True)
    assert item["done"] == (
        "1 new on record, 1 still in quarantine; the old file is x.jsonl.recovered-20251103T153000Z"
    )
    assert MarketEvent.objects.get().symbol == "SPY"
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == [BAD]
    status, [item] = recover("--yes")
    assert (status, item["can_be_done"]) == (1, False)

    # A person corrects the row, as it is told to.
    quarantine(path, BAD.replace("gossip", "trade"))
    assert recover("--yes")[0] == 0
    assert not path.exists()
    assert recover() == (0, [])
    assert MarketEvent.objects.count() == 2


def test_rows_in_quarantine_are_under_their_name_wherever_it_is_cut_off(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = quarantine(tmp_path / "quarantine/x.jsonl", GOOD, BAD)
    path.chmod(0o600)

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        for name in ("replace", "rename"):
            broken.setattr(Path, name, full)
        status, [item] = recover("--yes")
    assert (status, item["done"]) == (1, None)
    assert item["failed"] == f"{path}: No space left on device; what was taken in is on record"
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == [GOOD, BAD]
    path.with_name("x.jsonl.recovered-20251103T153000Z").unlink(missing_ok=True)
    assert recover("--yes")[1][0]["done"].startswith("0 new on record, 1 still in quarantine")
    # What nobody else could read before, nobody else can read now.
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_quarantine_of_a_run_that_did_not_end_is_left_to_it(db: None, tmp_path: Path) -> None:
    path = quarantine(tmp_path / "elsewhere.jsonl", GOOD)
    run = IngestCheckpoint.objects.create(
        key="k", source="feed.jsonl", lines=7, rows=6, quarantine=str(path), started_at=NOW
    )
    _, items = recover("--yes")
    assert [(item["kind"], item["can_be_done"]) for item in items] == [
        ("unfinished ingest", False),
        ("quarantined events", False),
    ]
    assert "manage.py ingest_events feed.jsonl --resume" in items[0]["would"]
    assert MarketEvent.objects.count() == 0
    run.finished = True
    run.save()
    assert recover("--yes")[0] == 0
    assert MarketEvent.objects.count() == 1
    assert recover() == (0, [])


def test_quarantine_that_holds_nonsense_is_left_as_it_is(db: None, tmp_path: Path) -> None:
    path = tmp_path / "quarantine/x.jsonl"
    path.parent.mkdir()
    path.write_bytes(b'no json\n{"row": 5}\n[]\n\xff\n{"row": "SPY,trade"}\n')
    status, [item] = recover("--yes")
    assert (status, item["found"]) == (1, "5 rows, 0 of them events by the rules of today")
    assert path.exists()


def test_age_that_is_no_number_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="--answer-within=-1"):
        call_command("recover", "--answer-within", "-1")


def test_text_says_what_would_be_done_and_that_nothing_was(trader: User, reviewer: User) -> None:
    order = submitted(trader, reviewer)
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("recover", stdout=out, no_color=True)
    assert out.getvalue().startswith(
        f"unanswered order: default: {order.client_order_id}\n"
        "  found  submitted 2025-11-03 15:00:00 UTC, no answer on record\n"
        "  would  say in its history that it is to be reconciled; it is not sent again. Then left to a person:"
    )
    assert out.getvalue().endswith("1 found, 1 left, 0 not looked at.\nNothing was changed. Run again with --yes.\n")
