"""Incidents: one for each time a component is not well, kept in memory and written once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from monitoring import incidents
from monitoring.choices import HealthStatus
from monitoring.health import Finding, ProbeResult
from monitoring.incidents import NOT_PROBED, Incidents, Round
from monitoring.models import Incident

pytestmark = pytest.mark.django_db
NOW = datetime(2025, 11, 3, 15, 0, tzinfo=UTC)
OK, WARN, BAD = HealthStatus.HEALTHY, HealthStatus.WARNING, HealthStatus.ERROR
STEP = timedelta(seconds=30)


class Desk:
    """A worker's incidents, and a clock that goes on by a step for each round."""

    def __init__(self, now: datetime = NOW) -> None:
        self.known, self.now = Incidents(), now

    def round(self, **statuses: HealthStatus) -> Round:
        found = [
            ProbeResult(
                name=name,
                critical=name == "db",
                finding=Finding(status=status, message=f"{name} is {status}", remedy="" if status == OK else "look"),
                at=self.now,
                response_ms=1,
            )
            for name, status in statuses.items()
        ]
        told = self.known.take(found, now=self.now)
        self.now += STEP
        return told

    def rounds(self, number: int, **statuses: HealthStatus) -> Round:
        for _ in range(number):
            told = self.round(**statuses)
        return told


def test_incident_begins_with_the_first_bad_result_and_ends_with_the_first_good_one() -> None:
    desk = Desk()
    assert desk.round(db=OK) == Round()
    assert desk.round(db=BAD) == Round()
    told = desk.round(db=BAD)
    [change], [opened] = told.changes, told.open
    assert (change.component, change.before, change.after, change.at) == ("db", OK, BAD, NOW + STEP)
    assert (opened.component, opened.severity, opened.began_at, opened.critical) == ("db", BAD, NOW + STEP, True)
    assert (opened.message, opened.remedy, opened.acknowledged) == ("db is error", "look", False)
    desk.known.save()
    assert desk.rounds(2, db=OK).open[0].message == "db is error"
    told = desk.round(db=OK)
    [over] = told.recovered
    assert (over.id, over.ended_at, told.open) == (opened.id, NOW + 3 * STEP, ())
    desk.known.save()
    row = Incident.objects.get()
    assert (row.pk, row.severity, row.began_at, row.ended_at) == (opened.id, "error", NOW + STEP, NOW + 3 * STEP)
    assert [each["status"] for each in row.changes] == ["error", "healthy"]
    assert desk.round(db=OK) == Round()


def test_incident_keeps_the_worst_that_it_came_to() -> None:
    desk = Desk()
    desk.rounds(2, disk=WARN)
    desk.rounds(2, disk=BAD)
    [opened] = desk.rounds(3, disk=WARN).open
    assert (opened.severity, opened.message) == (BAD, "disk is warning")
    desk.known.save()
    assert [each["status"] for each in Incident.objects.get().changes] == ["warning", "error", "warning"]


def test_component_that_is_not_probed_any_more_is_no_incident() -> None:
    desk = Desk()
    desk.rounds(2, a=BAD, b=OK)
    told = desk.round(b=OK)
    assert [(each.component, each.message) for each in told.changes] == [("a", NOT_PROBED)]
    assert [each.component for each in told.recovered] == ["a"]
    assert told.open == ()


def test_worker_that_is_started_again_goes_on_with_what_is_written() -> None:
    desk = Desk()
    [opened] = desk.rounds(2, db=BAD).open
    desk.known.save()
    again = Desk(desk.now)
    again.known.load()
    told = again.round(db=BAD)
    assert (told.changes, [each.id for each in told.open]) == ((), [opened.id])
    assert [each.id for each in again.rounds(3, db=OK).recovered] == [opened.id]
    again.known.save()
    assert Incident.objects.get().ended_at == NOW + 3 * STEP


def test_what_two_workers_found_in_one_outage_is_written_once() -> None:
    first, second = Desk(), Desk()
    for desk in (first, second):
        desk.rounds(2, db=BAD)
    first.known.save()
    second.known.save()
    row = Incident.objects.get()
    assert [each.id for each in second.round(db=BAD).open] == [row.pk]


def test_acknowledgement_is_heard_once_and_not_overwritten() -> None:
    desk = Desk()
    [opened] = desk.rounds(2, db=BAD).open
    desk.known.save()
    assert incidents.acknowledge(opened.id, by="olga", note="on it", now=desk.now)
    assert not incidents.acknowledge(opened.id, by="otto", note="me too", now=desk.now)
    desk.known.save()
    [opened] = desk.round(db=BAD).open
    assert opened.acknowledged
    desk.known.save()
    row = Incident.objects.get()
    assert (row.acknowledged_by, row.note) == ("olga", "on it")
    desk.rounds(3, db=OK)
    desk.known.save()
    assert not incidents.acknowledge(opened.id, by="otto", note="late", now=desk.now)


def test_database_keeps_one_open_incident_of_a_component() -> None:
    desk = Desk()
    desk.rounds(2, db=BAD)
    desk.known.save()
    row = Incident.objects.get()
    row.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def test_what_two_workers_told_of_in_one_outage_is_over_under_both_ids() -> None:
    one, other = Desk(), Desk()
    # Neither hears of the other.
    told = [desk.rounds(2, db=BAD, disk=BAD).open for desk in (one, other)]
    ids = [{each.component: each.id for each in found} for found in told]
    one.known.save()
    # Over before it could be written down: that is no reason to forget it.
    assert len(other.rounds(4, db=BAD, disk=OK).recovered) == 0
    other.known.save()
    assert {row.component_name: row.pk for row in Incident.objects.filter(ended_at=None)} == ids[0]
    assert list(Incident.objects.exclude(ended_at=None).values_list("pk", flat=True)) == [ids[1]["disk"]]
    over = [each for _ in range(12) for each in other.round(db=OK, disk=OK).recovered if each.component == "db"]
    assert [each.id for each in over] == [ids[0]["db"], ids[1]["db"]]
    other.known.save()
    assert not Incident.objects.filter(ended_at=None).exists()
