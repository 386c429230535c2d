"""A trail that was changed by somebody who may do anything to the database is found, and its first bad row named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from emo_site.db import append_only, transitions
from orders import anchors, audit, audit_keys, repairs, workflow
from orders.audit import KeyUse, Verification
from orders.choices import EventKind, OrderStatus
from orders.models import OrderEvent, OrderFacts, StagedOrder
from orders.refusal import Refused
from orders.seals import fingerprint, seal
from tests.factories import NOW, equity, person, staged
from tests.tampering import released

S = OrderStatus
LATER = NOW + timedelta(hours=1)
DOES_NOT_FOLLOW = "its seal does not follow from what it says and the event before it"


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def reviewer(db: None) -> User:
    return person("reviewer", "reviewer")


@pytest.fixture
def orders(trader: User, reviewer: User) -> list[StagedOrder]:
    """Three, of three, three and one events, in the order of their ids."""
    made = [staged(trader, now=NOW + timedelta(seconds=number), quantity=Decimal(number + 1)) for number in range(3)]
    for order in made[:2]:
        workflow.approve(order.pk, actor=reviewer, now=NOW, note="inside the limits")
        workflow.submit(order.pk, actor=trader, now=NOW)
    return [StagedOrder.objects.get(pk=order.pk) for order in made]


@pytest.fixture(autouse=True)
def _own_anchors(settings: Any, tmp_path: Path) -> None:
    settings.EMO_AUDIT_ANCHOR_FILE = tmp_path / "anchors.jsonl"


def verify(**options: Any) -> Verification:
    return audit.verify(now=LATER, **options)


def named(found: Verification) -> list[tuple[UUID, int | None, str]]:
    return [(each.order_id, each.sequence, each.what) for each in found.findings]


def event(order: StagedOrder, sequence: int) -> OrderEvent:
    return order.events.get(sequence=sequence)


def change(order: StagedOrder, sequence: int, **columns: Any) -> None:
    with released(OrderEvent):
        assert OrderEvent.objects.filter(order=order, sequence=sequence).update(**columns) == 1


def forget(order: StagedOrder, *sequences: int) -> None:
    with released(OrderEvent):
        OrderEvent.objects.filter(order=order, sequence__in=sequences)._raw_delete("default")


def next_event(order: StagedOrder, **changes: Any) -> OrderEvent:
    values: dict[str, Any] = {
        "sequence": order.event_count + 1,
        "previous": order.audit_head,
        "at": LATER,
        "kind": EventKind.UNANSWERED,
        "actor": "test",
        "from_status": order.status,
        "to_status": order.status,
        "reason": "",
        "seen": {},
    }
    return audit.sealed(order, **{**values, **changes})


def change_row(order: StagedOrder, **columns: Any) -> None:
    StagedOrder.objects.filter(pk=order.pk).update(**columns)


# ---- sound ----------------------------------------------------------------------------------------------------------


def test_trails_that_the_workflow_wrote_are_sound(orders: list[StagedOrder]) -> None:
    found = verify()
    assert found.is_sound
    assert (found.as_of, found.orders, found.events, found.bad, found.findings) == (LATER, 3, 7, 0, ())
    last = max(OrderEvent.objects.values_list("at", flat=True))
    key = KeyUse(fingerprint=fingerprint(audit_keys.current()), is_current=True, events=7, last_at=last)
    assert found.keys == (key,)
    for order in orders:
        assert order.audit_head == order.events.latest("sequence").seal


def test_a_desk_without_orders_is_sound(db: None) -> None:
    found = verify()
    assert (found.is_sound, found.orders, found.events, found.keys[0].last_at) == (True, 0, 0, None)


def test_only_the_order_that_is_asked_for_is_read(orders: list[StagedOrder]) -> None:
    change(orders[0], 1, reason="better")
    assert verify(orders=[orders[1].pk]).is_sound
    found = verify(orders=[orders[0].pk])
    assert (found.orders, found.events, found.bad) == (1, 3, 1)


def test_a_float_never_gets_into_the_trail(orders: list[StagedOrder]) -> None:
    with pytest.raises(TypeError, match=r"seen\.price=1\.5: numbers with a fraction go in as texts"):
        next_event(orders[0], seen={"price": 1.5})


def test_event_of_an_order_without_an_id_is_not_sealed(trader: User) -> None:
    with pytest.raises(ValueError, match=r"order\.pk is None"):
        next_event(StagedOrder(created_by=trader, status=S.PENDING_REVIEW))


# ---- the drill: what a superuser can do -----------------------------------------------------------------------------

EDITS: dict[str, dict[str, Any]] = {
    "reason": {"reason": "outside the limits"},
    "seen": {"seen": {"risk": {}}},
    "actor": {"actor": None},
    "actor's name": {"actor_name": "nobody"},
    "time": {"at": NOW - timedelta(days=1)},
    "kind": {"kind": "filled"},
    "status before": {"from_status": "blocked"},
    "status after": {"to_status": "rejected"},
    "seal": {"seal": "0" * 64},
}


@pytest.mark.parametrize("columns", EDITS.values(), ids=EDITS.keys())
def test_edit_is_found(orders: list[StagedOrder], columns: dict[str, Any]) -> None:
    change(orders[1], 2, **columns)
    found = verify()
    [finding] = found.findings
    assert found.bad == 1
    assert (finding.order_id, finding.client_order_id) == (orders[1].pk, orders[1].client_order_id)
    assert (finding.sequence, finding.event_id) == (2, event(orders[1], 2).pk)
    assert finding.what == DOES_NOT_FOLLOW


def test_edit_of_a_number_inside_what_was_seen_is_found(orders: list[StagedOrder]) -> None:
    seen = event(orders[0], 1).seen
    change(orders[0], 1, seen={**seen, "policy_version": f"{seen['policy_version']}x"})
    assert named(verify()) == [(orders[0].pk, 1, DOES_NOT_FOLLOW)]


def test_seal_that_was_taken_away_is_found(orders: list[StagedOrder]) -> None:
    change(orders[0], 1, seal="")
    assert named(verify()) == [(orders[0].pk, 1, "it has no seal")]


def test_row_that_was_taken_out_is_found(orders: list[StagedOrder]) -> None:
    forget(orders[0], 2)
    assert named(verify()) == [(orders[0].pk, 3, "event 2 is missing before it")]


def test_row_that_was_taken_out_is_found_when_the_others_are_numbered_anew(orders: list[StagedOrder]) -> None:
    forget(orders[0], 2)
    with released(OrderEvent):
        orders[0].events.filter(sequence=3).update(sequence=2)
    change_row(orders[0], event_count=2)
    assert named(verify()) == [(orders[0].pk, 2, DOES_NOT_FOLLOW)]


def test_first_row_that_was_taken_out_is_found(orders: list[StagedOrder]) -> None:
    forget(orders[0], 1)
    assert named(verify()) == [(orders[0].pk, 2, "event 1 is missing before it")]


@pytest.mark.parametrize("lost", [(3,), (2, 3), (1, 2, 3)])
def test_end_that_was_cut_off_is_found(orders: list[StagedOrder], lost: tuple[int, ...]) -> None:
    forget(orders[0], *lost)
    assert named(verify()) == [(orders[0].pk, lost[0], "it is gone: the order says 3 events")]


def test_end_that_was_cut_off_is_found_when_the_count_is_set_back(orders: list[StagedOrder]) -> None:
    forget(orders[0], 3)
    change_row(orders[0], event_count=2)
    what = "the order's audit_head is not the seal of its last event"
    assert named(verify()) == [(orders[0].pk, 2, what)]


def test_status_that_no_event_tells_of_is_found(orders: list[StagedOrder]) -> None:
    change_row(orders[0], status=S.CANCELLED)
    assert named(verify()) == [(orders[0].pk, 3, "the order is cancelled, its last event says submitted")]


def test_all_rows_that_were_taken_out_are_missed(orders: list[StagedOrder]) -> None:
    with released(OrderEvent):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute("TRUNCATE order_events")
        else:
            OrderEvent.objects.all()._raw_delete("default")
    assert named(verify()) == [
        (order.pk, 1, f"it is gone: the order says {order.event_count} events") for order in orders
    ]


def test_rows_of_two_orders_that_changed_places_are_found(orders: list[StagedOrder]) -> None:
    first, second = event(orders[0], 2), event(orders[1], 2)
    with released(OrderEvent):
        OrderEvent.objects.filter(pk=first.pk).update(sequence=99)
        OrderEvent.objects.filter(pk=second.pk).update(order=orders[0])
        OrderEvent.objects.filter(pk=first.pk).update(order=orders[1], sequence=2)
    assert named(verify()) == [(orders[0].pk, 2, DOES_NOT_FOLLOW), (orders[1].pk, 2, DOES_NOT_FOLLOW)]


def test_heads_of_two_orders_that_changed_places_are_found(orders: list[StagedOrder]) -> None:
    change_row(orders[0], audit_head=orders[1].audit_head)
    change_row(orders[1], audit_head=orders[0].audit_head)
    what = "the order's audit_head is not the seal of its last event"
    assert named(verify()) == [(orders[0].pk, 3, what), (orders[1].pk, 3, what)]


def forged(order: StagedOrder, **changes: Any) -> OrderEvent:
    """An event like the last one, after it."""
    last = order.events.latest("sequence")
    values = {field.attname: getattr(last, field.attname) for field in OrderEvent._meta.concrete_fields}
    return OrderEvent.objects.create(**{**values, "id": None, "sequence": last.sequence + 1, **changes})


def test_row_that_was_put_in_is_found(orders: list[StagedOrder]) -> None:
    forged(orders[2])
    assert named(verify()) == [(orders[2].pk, 2, DOES_NOT_FOLLOW)]
    change_row(orders[2], event_count=2)
    assert named(verify()) == [(orders[2].pk, 2, DOES_NOT_FOLLOW)]


def seal_anew(order: StagedOrder, key: bytes) -> None:
    """What somebody does who knows a key, or believes to."""
    head = ""
    with released(OrderEvent):
        for each in order.events.order_by("sequence"):
            said = {name: getattr(each, name) for name in audit._Event._fields if name not in ("id", "seal")}
            head = seal(key, previous=head, order_id=order.pk, **said)
            OrderEvent.objects.filter(pk=each.pk).update(seal=head)
    change_row(order, audit_head=head, event_count=order.events.count())


def test_trail_that_was_sealed_anew_with_a_wrong_key_is_found(orders: list[StagedOrder]) -> None:
    change(orders[0], 2, reason="better")
    seal_anew(orders[0], b"w" * 40)
    assert named(verify()) == [(orders[0].pk, 1, DOES_NOT_FOLLOW)]


@contextmanager
def without_foreign_keys() -> Iterator[None]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = 'replica'")
            yield
            cursor.execute("SET session_replication_role = 'origin'")
        else:
            # Until the end of the transaction, where the rows are gone again.
            cursor.execute("PRAGMA defer_foreign_keys = ON")
            yield


def test_events_of_an_order_that_was_taken_away_are_found(orders: list[StagedOrder]) -> None:
    first = event(orders[0], 1)
    with without_foreign_keys():
        OrderFacts.objects.filter(pk=orders[0].pk)._raw_delete("default")
        StagedOrder.objects.filter(pk=orders[0].pk)._raw_delete("default")
        try:
            [finding] = verify().findings
            assert (finding.order_id, finding.sequence, finding.event_id) == (orders[0].pk, 1, first.pk)
            assert finding.what == "its order is not there"
        finally:
            forget(orders[0], 1, 2, 3)


def test_many_bad_orders_are_counted_and_the_first_are_named(
    orders: list[StagedOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_NAMED", 2)
    StagedOrder.objects.update(audit_head="")
    found = verify()
    assert (found.bad, [each.order_id for each in found.findings]) == (3, [orders[0].pk, orders[1].pk])
    assert "and 1 more orders" in told()[1]


# ---- what only the anchors tell -------------------------------------------------------------------------------------


def anchored(**options: Any) -> Verification:
    with anchors.read(path()) as known:
        return verify(anchors=known, **options)


def path() -> Path:
    from django.conf import settings

    return Path(settings.EMO_AUDIT_ANCHOR_FILE)


def test_orders_that_went_on_since_the_anchor_are_sound(orders: list[StagedOrder], trader: User) -> None:
    anchors.append(path(), now=NOW)
    workflow.cancel(orders[0].pk, actor=trader, now=LATER)
    anchors.append(path(), now=LATER)
    found = anchored()
    assert found.is_sound
    assert (found.events, found.anchored) == (8, 4)


def test_end_that_was_cut_off_with_all_that_tells_of_it_is_found_by_the_anchor(orders: list[StagedOrder]) -> None:
    anchors.append(path(), now=NOW)
    forget(orders[0], 3)
    # No legal step: the test's end puts the guard back.
    append_only.run(connection, transitions.statements_to_release(connection.vendor, "staged_orders", "status"))
    change_row(orders[0], event_count=2, audit_head=event(orders[0], 2).seal, status=S.APPROVED)
    assert verify().is_sound
    what = "it is gone: 3 events were anchored at 2025-11-03T15:00:00+00:00"
    assert named(anchored()) == [(orders[0].pk, 3, what)]


def test_trail_that_was_sealed_anew_with_the_right_key_is_found_by_the_anchor(orders: list[StagedOrder]) -> None:
    anchors.append(path(), now=NOW)
    change(orders[0], 2, reason="better")
    seal_anew(orders[0], audit_keys.current())
    assert verify().is_sound
    what = "it was anchored with another seal at 2025-11-03T15:00:00+00:00: the trail was written anew since"
    assert named(anchored()) == [(orders[0].pk, 3, what)]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_order_that_is_gone_with_its_trail_is_found_by_the_anchor(orders: list[StagedOrder], which: int) -> None:
    anchors.append(path(), now=NOW)
    gone = orders[which]
    forget(gone, 1, 2, 3)
    OrderFacts.objects.filter(pk=gone.pk)._raw_delete("default")
    StagedOrder.objects.filter(pk=gone.pk)._raw_delete("default")
    assert verify().is_sound
    what = f"anchored with {gone.event_count} events at 2025-11-03T15:00:00+00:00: the order and its trail are gone"
    assert named(anchored()) == [(gone.pk, None, what)]
    assert named(anchored(orders=[orders[which - 1].pk])) == []


def test_anchor_that_was_changed_is_a_finding_of_its_own(orders: list[StagedOrder]) -> None:
    anchors.append(path(), now=NOW)
    path().write_text(path().read_text().replace(orders[0].audit_head, "0" * 64))
    found = anchored()
    assert not found.is_sound
    assert (found.bad, found.anchor_problems) == (0, ("line 1: its seal does not follow from what it says",))


# ---- keys -----------------------------------------------------------------------------------------------------------


def test_trail_stays_sound_when_the_key_is_changed(orders: list[StagedOrder], trader: User, settings: Any) -> None:
    old, settings.EMO_AUDIT_KEY = settings.EMO_AUDIT_KEY, "n" * 40
    assert verify().bad == 3
    settings.EMO_AUDIT_OLD_KEYS = [old]
    workflow.cancel(orders[0].pk, actor=trader, now=LATER)
    found = verify()
    assert found.is_sound
    assert [(use.is_current, use.events) for use in found.keys] == [(True, 1), (False, 7)]
    assert found.keys[0].last_at == LATER


def test_old_key_seals_nothing_after_the_new_one(orders: list[StagedOrder], trader: User, settings: Any) -> None:
    old, settings.EMO_AUDIT_KEY = settings.EMO_AUDIT_KEY, "n" * 40
    settings.EMO_AUDIT_OLD_KEYS = [old]
    workflow.cancel(orders[0].pk, actor=trader, now=LATER)
    settings.EMO_AUDIT_KEY, settings.EMO_AUDIT_OLD_KEYS = old, []
    order = StagedOrder.objects.get(pk=orders[0].pk)
    forgery = next_event(order)
    forgery.save(force_insert=True)
    change_row(order, event_count=forgery.sequence, audit_head=forgery.seal)
    settings.EMO_AUDIT_KEY, settings.EMO_AUDIT_OLD_KEYS = "n" * 40, [old]
    assert named(verify()) == [(order.pk, 5, "it is sealed with an older key than the event before it")]


# ---- counting right -------------------------------------------------------------------------------------------------


def test_count_that_is_set_right_leaves_a_sound_trail(orders: list[StagedOrder]) -> None:
    change_row(orders[0], event_count=1, audit_head=event(orders[0], 1).seal)
    assert named(verify()) == [(orders[0].pk, 2, "the order says 1 events, the trail holds 3")]
    repairs.recount_events(orders[0].pk, now=LATER, actor="recover")
    found = verify()
    assert (found.findings, found.events) == ((), 8)


def test_count_is_not_set_right_over_a_row_that_was_put_in(orders: list[StagedOrder]) -> None:
    forged(orders[2])
    with pytest.raises(Refused) as refused:
        repairs.recount_events(orders[2].pk, now=LATER, actor="recover")
    assert refused.value.code == "EVENTS_FORGED"
    assert str(refused.value) == f"Its events on record don't follow from each other: event 2: {DOES_NOT_FOLLOW}."
    assert named(verify()) == [(orders[2].pk, 2, DOES_NOT_FOLLOW)]


# ---- the commands ---------------------------------------------------------------------------------------------------


def told(*arguments: str) -> tuple[int, str]:
    """Exit status and output of verify_audit."""
    out, status = StringIO(), 0
    try:
        call_command("verify_audit", *arguments, stdout=out)
    except SystemExit as ended:
        status = int(str(ended.code))
    return status, out.getvalue()


def test_command_says_that_all_is_as_written(orders: list[StagedOrder]) -> None:
    key = fingerprint(audit_keys.current())
    last = max(OrderEvent.objects.values_list("at", flat=True))
    assert told() == (
        0,
        f"key {key} (current): 7 events, last at {last:%Y-%m-%d %H:%M:%S} UTC\n"
        "anchors: none; a trail that was cut off or written anew with the key can't be told\n"
        "3 orders, 7 events: all as written.\n",
    )


def test_command_names_the_first_bad_row(orders: list[StagedOrder]) -> None:
    change(orders[1], 2, reason="better")
    change(orders[1], 3, reason="better")
    status, words = told()
    row = event(orders[1], 2)
    assert status == 1
    assert words.splitlines()[0] == (
        f"order {orders[1].pk} ({orders[1].client_order_id}) event 2 ({row.pk}): {DOES_NOT_FOLLOW}"
    )
    assert words.splitlines()[-1] == "3 orders, 7 events: 1 not as written."
    assert told("--order", str(orders[0].pk))[0] == 0
    assert told("--order", str(orders[1].pk))[0] == 1


def test_command_gives_a_document(orders: list[StagedOrder]) -> None:
    call_command("anchor_audit", stdout=StringIO())
    change(orders[0], 3, reason="better")
    status, text = told("--json")
    document = json.loads(text)
    assert (status, document["sound"], document["bad"]) == (1, False, 1)
    assert document["findings"] == [
        {
            "order": str(orders[0].pk),
            "client_order_id": orders[0].client_order_id,
            "sequence": 3,
            "event": str(event(orders[0], 3).pk),
            "what": DOES_NOT_FOLLOW,
        }
    ]
    assert (document["anchors"]["compared"], document["anchors"]["problems"]) == (3, [])
    assert document["keys"][0]["current"] is True


def test_command_compares_with_the_anchors_that_are_there(orders: list[StagedOrder], tmp_path: Path) -> None:
    out = StringIO()
    call_command("anchor_audit", stdout=out)
    assert out.getvalue().startswith(f"{path()}: 3 orders, 7 events, 3 orders changed\nlast seal ")
    assert f"anchors: 3 heads compared, {path()}, last at " in told()[1]
    copy = path().rename(tmp_path / "copy.jsonl")
    assert "anchors: none" in told()[1]
    assert f"anchors: 3 heads compared, {copy}" in told("--anchors", str(copy))[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--anchors", "/nowhere/anchors.jsonl"), "Could not look: .*No such file or directory: '/nowhere/anchors"),
        (("--order", str(UUID(int=1))), "--order=00000000-0000-0000-0000-000000000001: there is no such order"),
    ],
)
def test_command_that_could_not_look_says_so(db: None, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words) as error:
        told(*arguments)
    assert error.value.returncode == 2


def test_command_that_could_not_anchor_says_so(orders: list[StagedOrder], settings: Any) -> None:
    call_command("anchor_audit", stdout=StringIO())
    path().write_text(path().read_text().replace("events", "event"))
    with pytest.raises(CommandError, match="line 1: its seal does not follow") as error:
        call_command("anchor_audit", stdout=StringIO())
    assert error.value.returncode == 2
    settings.EMO_AUDIT_ANCHOR_FILE = Path("/proc/anchors.jsonl")
    with pytest.raises(CommandError, match=r"/proc/anchors\.jsonl: could not be added to") as error:
        call_command("anchor_audit", stdout=StringIO())
    assert error.value.returncode == 2
