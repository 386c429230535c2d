"""Who is to be told what now: a decision over incidents, rules, silences and what was told before. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from uuid import UUID
from zoneinfo import ZoneInfo

from monitoring.alert_values import (
    Arrangement,
    Message,
    OpenIncident,
    Part,
    QuietHours,
    Recovered,
    Rule,
    SilenceSpan,
    Told,
)
from monitoring.choices import HealthStatus, NotificationKind

# The order in which the parts of one message, and the messages of one round, are told.
_KINDS = (NotificationKind.OPENED, NotificationKind.REPEATED, NotificationKind.RECOVERED)
_OF_PROBLEMS = frozenset({NotificationKind.OPENED, NotificationKind.REPEATED})


def plan(
    *,
    open_incidents: Sequence[OpenIncident],
    recovered: Sequence[Recovered],
    arrangement: Arrangement,
    told: Iterable[Told],
    now: datetime,
) -> list[Message]:
    """The messages to send now: at most one of each kind to each enabled channel, with all incidents it is about."""
    history = _by_place(told)
    due: dict[tuple[UUID, NotificationKind], dict[UUID, Part]] = defaultdict(dict)
    for channel_id, channel in arrangement.channels.items():
        if not channel.enabled:
            continue
        rules = [rule for rule in arrangement.rules if channel_id in rule.channel_ids]
        for incident in (*open_incidents, *recovered):
            if is_silenced(incident.component, arrangement.silences, now=now):
                continue
            before = history[channel_id, incident.id]
            if isinstance(incident, Recovered):
                found = _recovery(incident, rules, before, now)
            else:
                found = _problem(incident, rules, before, now)
            if found is not None:
                kind, number = found
                # The same incident given twice in one round is still told once.
                due[channel_id, kind][incident.id] = Part(incident=incident, number=number)
    return [
        Message(channel_id=channel_id, kind=kind, parts=tuple(sorted(parts.values(), key=_worst_first)))
        for (channel_id, kind), parts in sorted(due.items(), key=lambda item: _KINDS.index(item[0][1]))
    ]


def waits_to_be_told(incident: Recovered, *, told: Iterable[Told], channels: Iterable[UUID]) -> bool:
    """Whether one of these channels knows that it began, and not yet that it is over."""
    history = _by_place(told)
    return any(_may_hear_the_end(history[channel_id, incident.id]) for channel_id in channels)


def is_silenced(component: str, silences: Iterable[SilenceSpan], *, now: datetime) -> bool:
    return any(
        silence.begins_at <= now < silence.ends_at and fnmatchcase(component, silence.component_pattern)
        for silence in silences
    )


def is_quiet(quiet: QuietHours, *, now: datetime) -> bool:
    local = now.astimezone(ZoneInfo(quiet.zone)).time()
    if quiet.begins < quiet.ends:
        return quiet.begins <= local < quiet.ends
    return local >= quiet.begins or local < quiet.ends


def _problem(
    incident: OpenIncident, rules: Sequence[Rule], before: Sequence[Told], now: datetime
) -> tuple[NotificationKind, int] | None:
    """Somebody who acknowledged it knows: it is neither repeated nor, where it was still waiting, told."""
    speaking = [rule for rule in rules if _matches(rule, incident) and _speaks(rule, incident, now)]
    if incident.acknowledged or not speaking:
        return None
    spoken = [each for each in before if each.kind in _OF_PROBLEMS]
    if not spoken:
        lasted = any(now - incident.began_at >= rule.lasting for rule in speaking)
        return (NotificationKind.OPENED, 1) if lasted else None
    every = _shortest(rule.repeat_every for rule in speaking)
    if every is None or now - max(each.at for each in spoken) < every:
        return None
    repeated = [each.number for each in spoken if each.kind == NotificationKind.REPEATED]
    return NotificationKind.REPEATED, max(repeated, default=0) + 1


def _recovery(
    incident: Recovered, rules: Sequence[Rule], before: Sequence[Told], now: datetime
) -> tuple[NotificationKind, int] | None:
    """To whom the opening was told. Quiet hours put it off; a rule that is no more does not."""
    if not _may_hear_the_end(before):
        return None
    matching = [rule for rule in rules if _matches(rule, incident)]
    if matching and not any(_speaks(rule, incident, now) for rule in matching):
        return None
    return NotificationKind.RECOVERED, 1


def _may_hear_the_end(before: Sequence[Told]) -> bool:
    began = any(each.kind in _OF_PROBLEMS and not each.dead for each in before)
    return began and not any(each.kind == NotificationKind.RECOVERED for each in before)


def _matches(rule: Rule, incident: OpenIncident) -> bool:
    """Unknown counts as a warning."""
    severe = incident.severity == HealthStatus.ERROR or rule.least_severity != HealthStatus.ERROR
    return severe and fnmatchcase(incident.component, rule.component_pattern)


def _speaks(rule: Rule, incident: OpenIncident, now: datetime) -> bool:
    breaks = incident.critical and rule.critical_breaks_quiet
    return rule.quiet is None or breaks or not is_quiet(rule.quiet, now=now)


def _shortest(periods: Iterable[timedelta | None]) -> timedelta | None:
    return min((each for each in periods if each is not None), default=None)


def _worst_first(part: Part) -> tuple[bool, bool, datetime, str]:
    incident = part.incident
    return not incident.critical, incident.severity != HealthStatus.ERROR, incident.began_at, incident.component


def _by_place(told: Iterable[Told]) -> defaultdict[tuple[UUID, UUID], list[Told]]:
    history: defaultdict[tuple[UUID, UUID], list[Told]] = defaultdict(list)
    for each in told:
        history[each.channel_id, each.incident_id].append(each)
    return history
