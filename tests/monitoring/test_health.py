"""The runner of probes: all at once, within its bound, each one's failure its own."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring import health
from monitoring.choices import HealthStatus
from monitoring.health import CRITICAL_CAP, Finding, ProbeResult, SharedRun
from monitoring.models import SystemHealth

NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
FINE = Finding(status=HealthStatus.HEALTHY, message="fine")


@dataclass
class Probe:
    """Waits for `seconds`, then gives `answer`, or raises it."""

    name: str = "probe"
    answer: Any = FINE
    seconds: float = 0
    critical: bool = False
    runs: list[str] = field(default_factory=list)

    def run(self) -> Finding:
        self.runs.append(threading.current_thread().name)
        time.sleep(self.seconds)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def result(status: HealthStatus, *, critical: bool = False, name: str = "x", **changes: Any) -> ProbeResult:
    finding = Finding(status=status, message="said", **changes)
    return ProbeResult(name=name, critical=critical, finding=finding, at=NOW, response_ms=1.5)


def test_results_come_in_the_order_of_the_probes() -> None:
    probes = [Probe("slow", seconds=0.2), Probe("quick")]
    found = health.run(probes, timeout=5, now=NOW)
    assert [item.name for item in found] == ["slow", "quick"]
    assert [item.finding for item in found] == [FINE, FINE]
    assert {item.at for item in found} == {NOW}
    assert found[0].response_ms is not None
    assert found[0].response_ms >= 200


def test_probes_run_at_the_same_time() -> None:
    together = threading.Barrier(5, timeout=5)

    class Meeting(Probe):
        def run(self) -> Finding:
            together.wait()
            return FINE

    found = health.run([Meeting(str(number)) for number in range(5)], timeout=6, now=NOW)
    assert [item.finding.status for item in found] == [HealthStatus.HEALTHY] * 5


def test_probe_that_hangs_is_an_error_of_its_own_and_holds_nobody_up() -> None:
    started = time.monotonic()
    found = health.run([Probe("hung", seconds=3), Probe("quick")], timeout=0.3, now=NOW)
    assert time.monotonic() - started < 1
    assert found[1].finding is FINE
    assert (found[0].finding.status, found[0].finding.message, found[0].response_ms) == (
        HealthStatus.ERROR,
        "No answer within 0.3 s.",
        None,
    )
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "probe hung")


def test_answer_after_the_end_changes_no_result() -> None:
    found = health.run([Probe("late", seconds=0.2)], timeout=0.05, now=NOW)
    time.sleep(0.4)
    assert found[0].finding.message == "No answer within 0.05 s."


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ValueError("out of luck"), "The probe itself failed: ValueError: out of luck"),
        (KeyError("x"), "The probe itself failed: KeyError: 'x'"),
        (None, "The probe itself failed: TypeError: run() gave None instead of a Finding"),
        (True, "The probe itself failed: TypeError: run() gave True instead of a Finding"),
    ],
)
def test_probe_that_crashes_is_its_own_error(caplog: pytest.LogCaptureFixture, answer: Any, message: str) -> None:
    with caplog.at_level(logging.ERROR):
        found = health.run([Probe("broken", answer), Probe("other")], timeout=5, now=NOW)
    assert (found[0].finding.status, found[0].finding.message) == (HealthStatus.ERROR, message)
    assert found[1].finding is FINE
    assert health.system_score(found) == Decimal(50)
    [record] = caplog.records
    assert record.message == "probe broken failed"
    assert record.exc_info


def test_no_probes_are_no_results() -> None:
    assert health.run([], timeout=1, now=NOW) == []


OK, WARN, BAD, DARK = HealthStatus.HEALTHY, HealthStatus.WARNING, HealthStatus.ERROR, HealthStatus.UNKNOWN


@pytest.mark.parametrize(
    ("statuses", "critical", "score", "worst"),
    [
        ([], [], None, DARK),
        ([OK], [False], Decimal(100), OK),
        ([OK, WARN], [False, False], Decimal(80), WARN),
        ([OK, BAD], [False, False], Decimal(50), BAD),
        ([OK, DARK], [False, True], Decimal(100), OK),
        ([DARK], [True], None, DARK),
        ([OK, OK, OK, BAD], [True, True, True, True], Decimal(20), BAD),
        ([BAD, BAD], [True, False], Decimal(0), BAD),
        ([BAD, BAD, BAD], [False, False, False], Decimal(0), BAD),
        ([OK, OK, WARN], [True, True, True], Decimal("86.67"), WARN),
        # What is critical counts as much as three others.
        ([OK, BAD], [True, False], Decimal(75), BAD),
        ([WARN, OK], [True, False], Decimal(70), WARN),
    ],
)
def test_score_is_the_weighted_mean_capped_while_something_critical_fails(
    statuses: list[HealthStatus], critical: list[bool], score: Decimal | None, worst: HealthStatus
) -> None:
    found = [result(status, critical=vital) for status, vital in zip(statuses, critical, strict=True)]
    assert (health.system_score(found), health.worst_status(found)) == (score, worst)


@given(st.lists(st.builds(result, st.sampled_from(HealthStatus), critical=st.booleans())))
def test_score_stays_in_its_range_and_under_its_cap(results: list[ProbeResult]) -> None:
    score = health.system_score(results)
    assert (score is None) == all(item.finding.status == DARK for item in results)
    if score is not None:
        assert 0 <= score <= 100
        down = any(item.critical and item.finding.status == BAD for item in results)
        assert not down or score <= CRITICAL_CAP
        assert (score == 100) == (health.worst_status(results) in (OK, DARK))


@given(st.lists(st.builds(result, st.sampled_from(HealthStatus), critical=st.booleans()), min_size=1))
def test_what_pulls_the_score_down_adds_up(results: list[ProbeResult]) -> None:
    found = health.score_of(results)
    if found is None:
        return
    assert 100 - sum(points for _, points in found.lost) - found.capped == found.score
    assert (found.capped > 0) == bool(found.capped_by)
    assert (found.known, found.all) == (sum(each.score is not None for each in results), len(results))


def test_score_says_what_it_lost_to_whom() -> None:
    found = health.score_of([result(BAD, name="a", critical=True), result(WARN, name="b"), result(OK, name="c")])
    assert found is not None
    assert found.lost == (("a", Decimal(60)), ("b", Decimal(8)))
    assert (found.score, found.capped, found.capped_by) == (Decimal(20), Decimal(12), ("a",))


def test_probe_is_held_to_its_own_time_out() -> None:
    slow = Probe("slow", seconds=2)
    slow.timeout = 0.2  # type: ignore[attr-defined]
    started = time.monotonic()
    found = health.run([slow, Probe("quick")], timeout=5, now=NOW)
    assert time.monotonic() - started < 1
    assert (found[0].finding.message, found[1].finding) == ("No answer within 0.2 s.", FINE)


@pytest.mark.django_db
def test_row_stored_twice_is_there_once() -> None:
    rows = health.rows_of([result(OK, name="a")])
    health.store(rows)
    health.store(rows)
    assert SystemHealth.objects.count() == 1


@pytest.mark.django_db
def test_results_are_recorded_one_row_each() -> None:
    results = [result(OK, name="a"), result(DARK, name="b", critical=True, remedy="look", metrics={"n": 1})]
    assert health.record(results) == 2
    stored = {row.component_name: row for row in SystemHealth.objects.all()}
    assert (stored["a"].health_score, stored["a"].status, stored["a"].timestamp) == (Decimal(100), "healthy", NOW)
    assert (stored["b"].health_score, stored["b"].status, stored["b"].metrics) == (Decimal(0), "unknown", {"n": 1})
    assert stored["b"].metadata == {"message": "said", "remedy": "look", "critical": True}
    assert stored["b"].environment == "dev"


def test_who_asks_while_a_run_hangs_is_answered_from_the_one_before() -> None:
    shared, probe = SharedRun(max_age=0.05), Probe("slow")
    first = shared.results([probe], timeout=1)
    time.sleep(0.1)
    probe.seconds = 2
    looking = threading.Thread(target=shared.results, args=([probe],), kwargs={"timeout": 5})
    looking.start()
    while len(probe.runs) < 2:
        time.sleep(0.01)
    started = time.monotonic()
    assert shared.results([probe], timeout=1) is first
    assert time.monotonic() - started < 1
    looking.join()
    # What was found is not to be too old by then.
    shared._max_age = 60
    assert shared.results([probe], timeout=1) is not first
    assert len(probe.runs) == 2


def test_who_asks_first_waits_for_an_answer() -> None:
    shared, probe = SharedRun(max_age=5), Probe("slow", seconds=0.3)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: shared.results([probe], timeout=1), range(8)))
    assert len(probe.runs) == 1
    assert all(each is answers[0] for each in answers)


def test_many_who_ask_at_once_share_one_run() -> None:
    probe, shared = Probe(seconds=0.2), SharedRun(max_age=60)
    answers: list[list[ProbeResult]] = []
    threads = [threading.Thread(target=lambda: answers.append(shared.results([probe], timeout=5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(probe.runs) == 1
    assert len(answers) == 8
    assert all(answer is answers[0] for answer in answers)


def test_old_results_are_not_shared() -> None:
    probe, shared = Probe(), SharedRun(max_age=60)
    shared.results([probe], timeout=5)
    shared.results([probe], timeout=5)
    assert len(probe.runs) == 1
    shared._max_age = 0.05
    time.sleep(0.1)
    shared.results([probe], timeout=5)
    assert len(probe.runs) == 2


def test_results_of_other_probes_are_not_shared() -> None:
    one, two, shared = Probe("one"), Probe("two"), SharedRun(max_age=60)
    assert [item.name for item in shared.results([one], timeout=5)] == ["one"]
    assert [item.name for item in shared.results([two], timeout=5)] == ["two"]


def test_configured_probes_have_names_of_their_own() -> None:
    names = [probe.name for probe in health.configured()]
    assert len(names) == len(set(names))
    assert {"database:default", "migrations:default", "disk", "market data", "review backlog"} <= set(names)
