"""The heads of all trails are written down outside the database, in a file that is only ever added to."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from orders import anchors, workflow
from orders.models import StagedOrder
from tests.factories import NOW, equity, person, staged

LATER = NOW + timedelta(days=1)


@pytest.fixture
def trader(db: None) -> User:
    equity()
    return person("trader", "trader")


@pytest.fixture
def orders(trader: User) -> list[StagedOrder]:
    return [staged(trader, now=NOW + timedelta(seconds=number), quantity=Decimal(number + 1)) for number in range(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "anchors.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def problems(path: Path) -> list[str]:
    with anchors.read(path) as known:
        return known.problems


def test_every_order_is_written_down_once(orders: list[StagedOrder], path: Path) -> None:
    done = anchors.append(path, now=NOW)
    [line] = lines(path)
    assert line["changed"] == [[str(order.pk), 1, order.audit_head] for order in orders]
    assert (line["at"], line["previous"]) == ("2025-11-03T15:00:00+00:00", "")
    assert (line["orders"], line["events"], line["seal"]) == (3, 3, done.seal)
    assert (done.orders, done.events, done.changed) == (3, 3, 3)


def test_then_only_what_has_changed_is(orders: list[StagedOrder], trader: User, path: Path) -> None:
    first = anchors.append(path, now=NOW)
    workflow.cancel(orders[1].pk, actor=trader, now=LATER)
    new = staged(trader, now=LATER, quantity=Decimal(9))
    second = anchors.append(path, now=LATER)
    third = anchors.append(path, now=LATER)
    head = StagedOrder.objects.get(pk=orders[1].pk).audit_head
    told = lines(path)
    assert told[1]["changed"] == [[str(orders[1].pk), 2, head], [str(new.pk), 1, new.audit_head]]
    assert (told[1]["orders"], told[1]["events"], told[1]["previous"]) == (4, 5, first.seal)
    assert (told[2]["changed"], told[2]["previous"], third.changed) == ([], second.seal, 0)
    assert problems(path) == []


def test_many_orders_are_several_lines(orders: list[StagedOrder], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "_PER_LINE", 2)
    anchors.append(path, now=NOW)
    assert [len(line["changed"]) for line in lines(path)] == [2, 1]
    assert ["orders" in line for line in lines(path)] == [False, True]
    with anchors.read(path) as known:
        assert [each.order_id for each in known.in_order()] == [order.pk for order in orders]
        assert (known.problems, known.seal) == ([], lines(path)[1]["seal"])


def test_desk_without_orders_leaves_a_line_too(db: None, path: Path) -> None:
    assert anchors.append(path, now=NOW).orders == 0
    assert lines(path)[0]["changed"] == []


def test_file_is_its_owners_alone(orders: list[StagedOrder], path: Path) -> None:
    anchors.append(path, now=NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_log_says_the_last_seal(orders: list[StagedOrder], path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="emo.audit"):
        done = anchors.append(path, now=NOW)
    assert caplog.messages == [f"anchored 3 orders with 3 events, 3 changed: {done.seal}"]


CHANGES: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "edited": (lambda told: [told[0], told[1].replace('"events": 3', '"events": 4'), told[2]], "line 2: its seal does"),
    "first taken out": (lambda told: told[1:], "line 1: it does not follow from the line before it"),
    "middle taken out": (lambda told: [told[0], told[2]], "line 2: it does not follow from the line before it"),
    "swapped": (lambda told: [told[1], told[0], told[2]], "line 1: it does not follow from the line before it"),
    "middle overwritten": (lambda told: [told[0], "x\n", told[2]], "line 3: it does not follow from the line before"),
    "last overwritten": (lambda told: [*told[:2], "{}\n"], "line 3: it can't be read"),
    "not of ours": (lambda told: [*told[:2], "[]\n"], "line 3: it can't be read"),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_line_that_was_changed_is_named_and_nothing_is_added(
    orders: list[StagedOrder], path: Path, change: Callable[[list[str]], list[str]], words: str
) -> None:
    for _ in range(3):
        anchors.append(path, now=NOW)
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    before = path.read_text()
    assert problems(path)[0].startswith(words)
    with pytest.raises(anchors.NotAnchored, match=f"{path}: {words}"):
        anchors.append(path, now=LATER)
    assert path.read_text() == before


def test_line_that_a_loss_of_power_cut_off_is_left_behind(orders: list[StagedOrder], path: Path) -> None:
    first = anchors.append(path, now=NOW)
    whole = path.read_text()
    path.write_text(whole + whole[:50])
    assert problems(path) == []
    anchors.append(path, now=LATER)
    assert path.read_text().startswith(f"{whole}{whole[:50]}\n")
    assert json.loads(path.read_text().splitlines()[2])["previous"] == first.seal
    assert problems(path) == []


def test_anchors_of_an_older_key_stay_sound(orders: list[StagedOrder], path: Path, settings: Any) -> None:
    anchors.append(path, now=NOW)
    old, settings.EMO_AUDIT_KEY = settings.EMO_AUDIT_KEY, "n" * 40
    assert problems(path) == ["line 1: its seal does not follow from what it says"]
    settings.EMO_AUDIT_OLD_KEYS = [old]
    anchors.append(path, now=LATER)
    assert problems(path) == []


def test_only_the_end_of_a_long_file_is_read_and_lines_keep_their_numbers(
    orders: list[StagedOrder], trader: User, path: Path
) -> None:
    for number, order in enumerate(orders):
        anchors.append(path, now=NOW + timedelta(days=number))
        workflow.cancel(order.pk, actor=trader, now=LATER)
    anchors.append(path, now=NOW + timedelta(days=5))
    whole = path.read_text().splitlines(keepends=True)
    assert len(whole) == 4
    with anchors.read(path, last_bytes=len(whole[3]) + len(whole[2]) + 10) as known:
        assert known.problems == []
        assert known.seal == json.loads(whole[3])["seal"]
        assert [each.events for each in known.in_order([orders[0].pk])] == []
        assert [each.events for each in known.in_order([orders[2].pk])] == [2]
    path.write_text("".join([*whole[:3], whole[3].replace('"events": ', '"events": 1')]))
    with anchors.read(path, last_bytes=len(whole[3]) + len(whole[2]) + 10) as known:
        assert known.problems == ["line 4: its seal does not follow from what it says"]


def test_the_end_of_a_file_that_is_short_is_all_of_it(orders: list[StagedOrder], path: Path) -> None:
    anchors.append(path, now=NOW)
    with anchors.read(path, last_bytes=10**6) as known:
        assert len(list(known.in_order())) == 3
