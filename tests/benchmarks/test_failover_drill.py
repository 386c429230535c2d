"""The drill sees what it is there to see: each loss, each double, each hang is counted, and a missed goal fails."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.messages.storage.base import Message
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpResponse
from django.test import RequestFactory

from benchmarks.failover_drill import __main__ as drill
from benchmarks.failover_drill import browser, clients, desk, table
from benchmarks.failover_drill.browser import Answer
from benchmarks.failover_drill.ledger import Action, Ledger, Outcome, Read, Write, longest_gap
from benchmarks.failover_drill.variants import VARIANTS, Goal
from benchmarks.failover_drill.verdict import Figures, Moments, OnRecord, examined

pytestmark = pytest.mark.once


def answer(ended: float = 1.0, *, seconds: float = 0.1, status: int = 302, **others: object) -> Answer:
    return Answer(status=status, started=ended - seconds, ended=ended, **others)  # type: ignore[arg-type]


def write(action: Action, name: str, *, execution: str = "", outcome: Outcome = Outcome.ACKNOWLEDGED, at: float = 1.0):
    return Write(action=action, client_order_id=name, execution_id=execution, outcome=outcome, answer=answer(at))


ONE_ORDER = [
    write(Action.STAGE, "a", at=1.0),
    write(Action.APPROVE, "a", at=2.0),
    write(Action.SUBMIT, "a", at=5.0),
    write(Action.FILL, "a", execution="a-1", at=6.0),
]
ON_RECORD = OnRecord(
    orders=Counter(a=1),
    changes=Counter({("a", "staged"): 1, ("a", "approved"): 1, ("a", "submitted"): 1, ("a", "filled"): 1}),
    fills=Counter({"a-1": 1}),
    fills_of=Counter(a=1),
    # Of 100 that were acknowledged; of the next ones, which may be there, one is.
    market_events=Counter([*range(100), 100]),
)


def figures(found: OnRecord = ON_RECORD, *, writes: list[Write] = ONE_ORDER, reads: tuple[Read, ...] = ()) -> Figures:
    ledger = Ledger(writes=list(writes), reads=[Read(path="/", answer=answer(1.5, status=200)), *reads])
    load = SimpleNamespace(ledger=ledger, feed=SimpleNamespace(acknowledged=100, hung=False))
    return examined(load, found, Moments(fault=3.0, relief=4.0, end=7.0))  # type: ignore[arg-type]


def without(kind: str) -> OnRecord:
    return dataclasses.replace(ON_RECORD, changes=Counter({k: v for k, v in ON_RECORD.changes.items() if k[1] != kind}))


def test_an_order_that_is_all_there_is_neither_lost_nor_doubled() -> None:
    seen = figures()
    assert (seen.orders_acknowledged, seen.orders_found) == (1, 1)
    assert (seen.changes_acknowledged, seen.changes_found) == (4, 4)
    assert (seen.lost, seen.duplicates, seen.strangers) == (0, 0, 0)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(dataclasses.replace(ON_RECORD, orders=Counter()), id="its row"),
        pytest.param(without("approved"), id="the approval's event"),
        pytest.param(without("submitted"), id="the submission's event"),
        pytest.param(dataclasses.replace(ON_RECORD, fills=Counter()), id="the fill"),
        pytest.param(dataclasses.replace(ON_RECORD, market_events=Counter([*range(99), 100])), id="a market event"),
    ],
)
def test_each_thing_acknowledged_and_not_on_record_is_lost(found: OnRecord) -> None:
    assert figures(found).lost == 1


def twice(kind: str) -> OnRecord:
    return dataclasses.replace(ON_RECORD, changes=ON_RECORD.changes + Counter({("a", kind): 1}))


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(dataclasses.replace(ON_RECORD, orders=Counter(a=2)), id="an order"),
        pytest.param(twice("approved"), id="an approval"),
        pytest.param(twice("filled"), id="the event of a fill"),
        pytest.param(dataclasses.replace(ON_RECORD, market_events=Counter([*range(100), 7])), id="a market event"),
    ],
)
def test_each_thing_on_record_twice_is_counted(found: OnRecord) -> None:
    assert figures(found).duplicates == 1


def test_a_fill_that_was_sent_once_and_is_there_under_two_ids_is_doubled() -> None:
    twice_booked = dataclasses.replace(ON_RECORD, fills=Counter({"a-1": 1, "a-2": 1}), fills_of=Counter(a=2))
    found = dataclasses.replace(twice_booked, changes=twice("filled").changes)
    assert figures(found).duplicates == 1
    assert figures(found).strangers == 1


def test_what_was_refused_may_be_on_record_or_not() -> None:
    refused = [*ONE_ORDER[:3], write(Action.FILL, "a", execution="a-1", outcome=Outcome.REFUSED)]
    absent = dataclasses.replace(without("filled"), fills=Counter(), fills_of=Counter())
    for found in (ON_RECORD, absent):
        seen = figures(found, writes=refused)
        assert (seen.lost, seen.duplicates, seen.strangers, seen.refused) == (0, 0, 0, 1)


def test_times_without_writes_and_until_they_were_back() -> None:
    seen = figures()
    # Acknowledged at 1, 2, 5 and 6; broken at 3, promoted at 4.
    assert seen.seconds_without_writes == 3.0
    assert seen.writes_back_after_fault == 2.0
    assert seen.writes_back_after_relief == 1.0


def test_writes_that_never_come_back_meet_no_goal() -> None:
    seen = figures(writes=ONE_ORDER[:2])
    assert seen.writes_back_after_relief is None
    assert not Goal("writes_back_after_relief", "", at_most=1.0).met([seen.writes_back_after_relief])


def test_the_longest_gap_begins_before_the_fault_and_may_end_with_the_load() -> None:
    assert longest_gap([1, 2, 9], since=3, until=10) == 7
    assert longest_gap([1, 2], since=3, until=10) == 8
    assert longest_gap([], since=3, until=10) == 7
    # What was slow before the fault is not its doing.
    assert longest_gap([1, 8, 9, 10], since=8.5, until=10) == 1


def test_slow_and_broken_answers_are_counted() -> None:
    slow = Read(path="/", answer=answer(20, seconds=10.5, status=200))
    broken = Read(path="/", answer=answer(2, status=503, retry_after="5"))
    seen = figures(reads=(slow, broken))
    assert (seen.hung, seen.failed_reads, seen.reads) == (1, 1, 3)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (answer(location="/admin/orders/stagedorder/1/change/"), Outcome.ACKNOWLEDGED),
        (answer(location="/admin/orders/stagedorder/1/change/", objections=("Refused",)), Outcome.DECLINED),
        (answer(status=200), Outcome.DECLINED),
        (answer(location="/admin/login/?next=/"), Outcome.FAILED),
        (answer(status=503, retry_after="5"), Outcome.REFUSED),
        (answer(status=503), Outcome.FAILED),
        (answer(status=500), Outcome.FAILED),
        (answer(status=0, problem="ConnectionResetError"), Outcome.FAILED),
    ],
)
def test_only_the_redirect_of_success_acknowledges(given: Answer, outcome: Outcome) -> None:
    assert clients._outcome(given) == outcome


@pytest.mark.parametrize("times", [1, 30])
def test_objections_are_read_from_djangos_own_cookie(times: int) -> None:
    response = HttpResponse()
    texts = [Message(25, "It is approved."), *(Message(40, f"Refused: {n}") for n in range(times))]
    CookieStorage(RequestFactory().get("/"))._store(texts, response)
    assert browser._errors(response.cookies["messages"].value) == [f"Refused: {n}" for n in range(times)]


def test_every_goal_is_about_a_figure_and_each_run_must_meet_it() -> None:
    names = {each.name for each in dataclasses.fields(Figures)}
    assert {goal.figure for variant in VARIANTS.values() for goal in variant.goals} <= names
    assert names - {"problems"} == {figure for figure, _ in table.SHOWN}
    every = Goal("lost", "", at_most=0)
    assert every.met([0, 0])
    assert not every.met([0, 1])
    middle = Goal("writes_back_after_relief", "", at_most=1.0, median=True)
    assert middle.met([0.2, 0.3, 4.0])
    assert not middle.met([0.2, 3.0, 4.0])
    # One run in which writes never came back is not made good by the others.
    assert not middle.met([0.2, 0.3, None])


def test_a_missed_goal_is_marked_and_ends_the_drill_with_1(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    good = dataclasses.replace(
        figures(), changes_acknowledged=60, changes_found=60, reads=60, seconds_without_writes=2.5
    )
    outcomes = {0: good, 1: dataclasses.replace(good, lost=1)}
    for status, run in outcomes.items():
        monkeypatch.setattr(drill, "_runs", lambda *args, made=run, **kwargs: [made])
        assert drill.main(["kill"]) == status
        assert ("MISSED" in capsys.readouterr().out) == bool(status)
    assert drill.main(["kill", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["variants"][0]["runs"][0]["lost"] == 1


def test_a_drill_that_cannot_be_held_is_no_success(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def broken(*args: object, **kwargs: object) -> list[Figures]:
        raise desk.Broken("no load")

    monkeypatch.setattr(drill, "_runs", broken)
    assert drill.main(["kill"]) == 2
    assert "kill: not held: no load" in capsys.readouterr().err
    with pytest.raises(SystemExit) as unknown:
        drill.main(["kil"])
    assert unknown.value.code == 2


def test_the_desk_is_served_by_the_line_of_make_run() -> None:
    command = desk._gunicorn(8123)
    assert command[1:] == [
        *("-m", "gunicorn", "emo_site.wsgi", "--config", "emo_site/gunicorn_conf.py", "--bind", "127.0.0.1:8123"),
        *("--workers", "2", "--threads", "8"),
        *("--timeout", "60", "--no-control-socket", "--log-level", "warning"),
    ]
    assert str(Path(command[0]).name).startswith("python")
