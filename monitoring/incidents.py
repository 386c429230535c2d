"""What is wrong, since when, and since when no more. The only writer of Incident.

One worker keeps them in its memory, from which they can be told while the database is down, and writes them when it
can.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from emo_site.db.aliases import database_of
from emo_site.db.fields import current_environment
from emo_site.db.uuid7 import uuid7
from monitoring.alert_values import OpenIncident, Recovered
from monitoring.choices import BY_SEVERITY, HealthStatus
from monitoring.flapping import State, after
from monitoring.health import ProbeResult
from monitoring.models import Incident

logger = logging.getLogger(__name__)

# A component that goes to and fro for days keeps its first and last changes.
MOST_CHANGES = 200
NOT_PROBED = "It is not probed any more."


@dataclass(frozen=True, kw_only=True)
class StateChange:
    """A component that is believed to be another way than before, since `at`."""

    component: str
    before: HealthStatus
    after: HealthStatus
    at: datetime
    message: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round of results comes to: what changed, what is open, and what is over since the round before."""

    changes: tuple[StateChange, ...] = ()
    open: tuple[OpenIncident, ...] = ()
    recovered: tuple[Recovered, ...] = ()


@dataclass
class _Kept:
    """An incident in memory, with what its row has beside it."""

    incident: OpenIncident
    last_seen_at: datetime
    ended_at: datetime | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    # The ids under which this worker told of it before it heard that another one had written it down.
    told_as: tuple[UUID, ...] = ()


class Incidents:
    """Of this environment, as one worker knows them."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._open: dict[str, _Kept] = {}
        # Over, and not written yet.
        self._ended: list[_Kept] = []

    def load(self) -> None:
        """Takes over what another worker, or this one before it was started again, wrote down; of one component, that
        is what holds. Raises DatabaseError.
        """
        self._take_over(_open_rows())

    def _take_over(self, rows: Iterable[Incident]) -> None:
        for row in rows:
            kept, mine = _kept(row), self._open.get(row.component_name)
            if mine is not None:
                other = () if mine.incident.id == kept.incident.id else (mine.incident.id,)
                kept.told_as = (*mine.told_as, *other)
            self._open[row.component_name] = kept
            self._states[row.component_name] = State(status=HealthStatus(_last_status(row)), since=row.began_at)

    def take(self, results: Sequence[ProbeResult], *, now: datetime) -> Round:
        """One round of results, of every component that is probed."""
        changes, recovered = [], []
        for result in results:
            before = self._states.get(result.name, State())
            state = self._states[result.name] = after(before, result.finding.status, result.at)
            if state.status != before.status:
                changes.append(_change(result, before.status, state, now))
                self._changed(result, state, now)
            elif result.name in self._open:
                self._seen(result, now)
        probed = {result.name for result in results}
        for component in sorted(self._open.keys() - probed):
            changes.append(self._not_probed(component, now))
        for component in [name for name, kept in self._open.items() if kept.ended_at is not None]:
            kept = self._open.pop(component)
            self._ended.append(kept)
            recovered += _recovered(kept)
        return Round(
            changes=tuple(changes),
            open=tuple(each.incident for each in self._open.values()),
            recovered=tuple(recovered),
        )

    def save(self) -> None:
        """Writes what is in memory, and hears of acknowledgements and of what another worker wrote down. Raises
        DatabaseError; nothing is lost by that.
        """
        kept = [*self._ended, *self._open.values()]
        try:
            with transaction.atomic(using=database_of("monitoring")):
                for each in kept:
                    _write(each)
        except IntegrityError:
            # Another worker wrote the same component down, in an outage in which neither saw the other: what it says
            # stands.
            logger.warning("incidents of another worker were found, and are taken over")
            self._write_ended()
            self.load()
            return
        self._ended = []
        rows = list(_open_rows())
        heard = {row.pk for row in rows if row.acknowledged_at is not None}
        for each in self._open.values():
            each.incident = replace(each.incident, acknowledged=each.incident.id in heard)
        # The worker before this one may have come to write down only now what it found in an outage.
        self._take_over(row for row in rows if row.component_name not in self._open)

    def _write_ended(self) -> None:
        """One by one: what does not go in must not keep the others out."""
        for each in self._ended:
            try:
                with transaction.atomic(using=database_of("monitoring")):
                    _write(each)
            except IntegrityError:
                logger.exception(
                    "the incident %s of %s can't be written down", each.incident.id, each.incident.component
                )
        self._ended = []

    def _changed(self, result: ProbeResult, state: State, now: datetime) -> None:
        at = state.since or now
        kept = self._open.get(result.name)
        if kept is None:
            kept = self._open[result.name] = _Kept(incident=_opened(result, state.status, at), last_seen_at=now)
        _note(kept, at, state.status, result.finding.message)
        if state.status == HealthStatus.HEALTHY:
            kept.ended_at = max(at, kept.incident.began_at)
        else:
            kept.incident = replace(kept.incident, severity=_worse(kept.incident.severity, state.status))
            self._seen(result, now)

    def _seen(self, result: ProbeResult, now: datetime) -> None:
        if result.finding.status == HealthStatus.HEALTHY:
            # Not believed yet: what was wrong is still what is to be told.
            return
        kept = self._open[result.name]
        kept.last_seen_at = now
        kept.incident = replace(
            kept.incident, message=result.finding.message, remedy=result.finding.remedy, critical=result.critical
        )

    def _not_probed(self, component: str, now: datetime) -> StateChange:
        kept, state = self._open[component], self._states.pop(component, State())
        _note(kept, now, HealthStatus.UNKNOWN, NOT_PROBED)
        kept.ended_at = now
        return StateChange(
            component=component,
            before=state.status,
            after=HealthStatus.UNKNOWN,
            at=now,
            message=NOT_PROBED,
            remedy="",
        )


def _open_rows() -> QuerySet[Incident]:
    return Incident.objects.filter(environment=current_environment(), ended_at__isnull=True)


def acknowledge(incident_id: UUID, *, by: str, note: str, now: datetime) -> bool:
    """Somebody has taken note of an open incident; False where it is over, or somebody did before."""
    waiting = Incident.objects.filter(pk=incident_id, ended_at__isnull=True, acknowledged_at__isnull=True)
    return waiting.update(acknowledged_at=now, acknowledged_by=by, note=note) == 1


def _worse(one: HealthStatus, other: HealthStatus) -> HealthStatus:
    return max(one, other, key=BY_SEVERITY.index)


def _opened(result: ProbeResult, status: HealthStatus, at: datetime) -> OpenIncident:
    return OpenIncident(
        id=uuid7(at),
        component=result.name,
        severity=status,
        critical=result.critical,
        message=result.finding.message,
        remedy=result.finding.remedy,
        began_at=at,
        acknowledged=False,
        environment=current_environment(),
    )


def _change(result: ProbeResult, before: HealthStatus, state: State, now: datetime) -> StateChange:
    return StateChange(
        component=result.name,
        before=before,
        after=state.status,
        at=state.since or now,
        message=result.finding.message,
        remedy=result.finding.remedy,
    )


def _note(kept: _Kept, at: datetime, status: HealthStatus, message: str) -> None:
    kept.changes.append({"at": at.isoformat(), "status": str(status), "message": message})
    if len(kept.changes) > MOST_CHANGES:
        del kept.changes[MOST_CHANGES // 2]


def _recovered(kept: _Kept) -> list[Recovered]:
    """Under each id by which somebody may have heard of it: who heard that it began is to hear that it is over."""
    values = {each.name: getattr(kept.incident, each.name) for each in fields(kept.incident)}
    over = Recovered(**values, ended_at=kept.ended_at or kept.last_seen_at)
    return [over, *(replace(over, id=identifier) for identifier in kept.told_as)]


def _kept(row: Incident) -> _Kept:
    return _Kept(
        incident=OpenIncident(
            id=row.pk,
            component=row.component_name,
            severity=HealthStatus(row.severity),
            critical=row.critical,
            message=row.message,
            remedy=row.remedy,
            began_at=row.began_at,
            acknowledged=row.acknowledged_at is not None,
            environment=row.environment,
        ),
        last_seen_at=row.last_seen_at,
        changes=list(row.changes),
    )


def _last_status(row: Incident) -> str:
    return str(row.changes[-1]["status"]) if row.changes else row.severity


def _write(kept: _Kept) -> None:
    incident = kept.incident
    values = {
        "severity": incident.severity,
        "critical": incident.critical,
        "message": incident.message,
        "remedy": incident.remedy,
        "last_seen_at": max(kept.last_seen_at, incident.began_at),
        "ended_at": kept.ended_at,
        "changes": kept.changes,
    }
    # What is said of it by people is not this writer's.
    if Incident.objects.filter(pk=incident.id).update(**values) == 0:
        Incident(
            id=incident.id,
            component_name=incident.component,
            environment=incident.environment,
            began_at=incident.began_at,
            **values,
        ).save(force_insert=True)
