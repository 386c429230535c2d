"""Who is told what, as a decision over values: cases, and properties over whole histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.alert_plan import is_quiet, plan, waits_to_be_told
from monitoring.alert_values import (
    Arrangement,
    Channel,
    Message,
    OpenIncident,
    QuietHours,
    Recovered,
    Rule,
    SilenceSpan,
    Told,
)
from monitoring.choices import ChannelKind, HealthStatus, NotificationKind
from tests.incidents import MINUTE, NOW, incident, over

DAY, NIGHT = UUID(int=1), UUID(int=2)
OPENED, REPEATED, RECOVERED = NotificationKind.OPENED, NotificationKind.REPEATED, NotificationKind.RECOVERED


def channel(identifier: UUID = DAY, **changes: Any) -> Channel:
    return Channel(id=identifier, name=f"channel {identifier.int}", kind=ChannelKind.WEBHOOK, url="http://x", **changes)


def rule(**changes: Any) -> Rule:
    values: dict[str, Any] = {
        "name": "all",
        "component_pattern": "*",
        "least_severity": HealthStatus.WARNING,
        "lasting": timedelta(0),
        "channel_ids": frozenset({DAY}),
    }
    return Rule(**{**values, **changes})


def told_by(messages: list[Message], at: datetime) -> list[Told]:
    return [
        Told(channel_id=each.channel_id, incident_id=part.incident.id, kind=each.kind, number=part.number, at=at)
        for each in messages
        for part in each.parts
    ]


def planned(
    *opened: OpenIncident,
    recovered: tuple[Recovered, ...] = (),
    rules: tuple[Rule, ...] = (rule(),),
    silences: tuple[SilenceSpan, ...] = (),
    channels: tuple[Channel, ...] = (channel(), channel(NIGHT)),
    told: list[Told] | None = None,
    now: datetime = NOW,
) -> list[Message]:
    arrangement = Arrangement(channels={each.id: each for each in channels}, rules=rules, silences=silences)
    return plan(open_incidents=opened, recovered=recovered, arrangement=arrangement, told=told or [], now=now)


def kinds(messages: list[Message]) -> list[tuple[int, str, list[str]]]:
    return [
        (each.channel_id.int, str(each.kind), [part.incident.component for part in each.parts]) for each in messages
    ]


def test_several_incidents_of_one_round_are_one_message_the_worst_first() -> None:
    found = planned(
        incident(1, severity=HealthStatus.WARNING),
        incident(2),
        incident(3, critical=True, severity=HealthStatus.WARNING),
    )
    assert kinds(found) == [(1, "opened", ["component 3", "component 2", "component 1"])]


def test_each_channel_of_every_matching_rule_is_told_once() -> None:
    rules = (rule(), rule(name="again"), rule(name="night", channel_ids=frozenset({NIGHT, DAY})))
    assert kinds(planned(incident(), rules=rules)) == [(1, "opened", ["component 1"]), (2, "opened", ["component 1"])]


def test_what_was_told_is_not_told_again() -> None:
    told = told_by(planned(incident()), NOW)
    assert planned(incident(), told=told, now=NOW + timedelta(days=3)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"component_pattern": "component ?"}, True),
        ({"component_pattern": "database:*"}, False),
        ({"component_pattern": "COMPONENT 1"}, False),
        ({"lasting": 5 * MINUTE}, True),
        ({"lasting": 5 * MINUTE + timedelta(seconds=1)}, False),
        ({"channel_ids": frozenset()}, False),
    ],
)
def test_a_rule_speaks_of_its_components_once_they_have_lasted(changes: dict[str, Any], told: bool) -> None:
    assert bool(planned(incident(), rules=(rule(**changes),))) == told


@pytest.mark.parametrize(
    ("least", "severity", "told"),
    [
        (HealthStatus.WARNING, HealthStatus.WARNING, True),
        (HealthStatus.WARNING, HealthStatus.UNKNOWN, True),
        (HealthStatus.WARNING, HealthStatus.ERROR, True),
        (HealthStatus.ERROR, HealthStatus.WARNING, False),
        (HealthStatus.ERROR, HealthStatus.UNKNOWN, False),
        (HealthStatus.ERROR, HealthStatus.ERROR, True),
    ],
)
def test_a_rule_speaks_from_its_severity_on(least: HealthStatus, severity: HealthStatus, told: bool) -> None:
    assert bool(planned(incident(severity=severity), rules=(rule(least_severity=least),))) == told


def test_a_disabled_channel_is_told_nothing() -> None:
    assert planned(incident(), channels=(channel(enabled=False),)) == []


def test_it_is_repeated_until_somebody_acknowledges() -> None:
    rules = (rule(repeat_every=30 * MINUTE), rule(name="rarely", repeat_every=60 * MINUTE))
    told = told_by(planned(incident(), rules=rules), NOW)
    assert planned(incident(), rules=rules, told=told, now=NOW + 29 * MINUTE) == []
    again = planned(incident(), rules=rules, told=told, now=NOW + 30 * MINUTE)
    assert [(each.kind, each.parts[0].number) for each in again] == [(REPEATED, 1)]
    told += told_by(again, NOW + 30 * MINUTE)
    assert planned(incident(), rules=rules, told=told, now=NOW + 59 * MINUTE) == []
    later = planned(incident(), rules=rules, told=told, now=NOW + 60 * MINUTE)
    assert [(each.kind, each.parts[0].number) for each in later] == [(REPEATED, 2)]
    assert planned(incident(acknowledged=True), rules=rules, told=told, now=NOW + 60 * MINUTE) == []


def test_who_acknowledges_before_it_was_due_is_not_told_what_they_know() -> None:
    assert planned(incident(acknowledged=True)) == []


def test_the_end_is_told_once_and_only_to_who_was_told_the_beginning() -> None:
    told = told_by(planned(incident()), NOW)
    rules = (rule(channel_ids=frozenset({DAY, NIGHT})),)
    found = planned(recovered=(over(incident()),), rules=rules, told=told)
    assert kinds(found) == [(1, "recovered", ["component 1"])]
    assert planned(recovered=(over(incident()),), rules=rules, told=told + told_by(found, NOW)) == []
    assert planned(recovered=(over(incident()),), rules=rules) == []


def test_the_end_is_told_though_its_rule_is_no_more() -> None:
    told = told_by(planned(incident()), NOW)
    assert kinds(planned(recovered=(over(incident()),), rules=(), told=told)) == [(1, "recovered", ["component 1"])]


def test_the_end_of_what_nobody_has_got_is_not_told() -> None:
    dead = [replace(each, dead=True) for each in told_by(planned(incident()), NOW)]
    assert planned(recovered=(over(incident()),), told=dead) == []
    reached = replace(dead[0], kind=REPEATED, dead=False)
    assert kinds(planned(recovered=(over(incident()),), told=[*dead, reached])) == [(1, "recovered", ["component 1"])]


def test_an_acknowledged_incident_is_told_to_be_over() -> None:
    told = told_by(planned(incident()), NOW)
    assert planned(recovered=(over(incident(acknowledged=True)),), told=told)


def test_inside_a_silence_nothing_is_told_and_afterwards_what_is_left_of_it() -> None:
    silence = SilenceSpan(component_pattern="component 1", begins_at=NOW, ends_at=NOW + 10 * MINUTE)
    told = told_by(planned(incident(2)), NOW)
    ends = (over(incident(2)),)
    everything = replace(silence, component_pattern="*")
    assert planned(incident(), silences=(silence,)) == []
    assert planned(incident(3), silences=(silence,))
    assert planned(incident(), recovered=ends, told=told, silences=(everything,)) == []
    assert waits_to_be_told(ends[0], told=told, channels=[DAY])
    after = planned(incident(), recovered=ends, told=told, silences=(everything,), now=everything.ends_at)
    assert kinds(after) == [(1, "opened", ["component 1"]), (1, "recovered", ["component 2"])]


BERLIN_NIGHT = QuietHours(begins=time(22), ends=time(7), zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("quiet", "at", "expected"),
    [
        (BERLIN_NIGHT, datetime(2026, 3, 2, 20, 59, tzinfo=UTC), False),
        (BERLIN_NIGHT, datetime(2026, 3, 2, 21, 0, tzinfo=UTC), True),
        (BERLIN_NIGHT, datetime(2026, 3, 3, 5, 59, tzinfo=UTC), True),
        (BERLIN_NIGHT, datetime(2026, 3, 3, 6, 0, tzinfo=UTC), False),
        # After the clocks went forward the night begins an hour earlier in UTC.
        (BERLIN_NIGHT, datetime(2026, 4, 2, 20, 0, tzinfo=UTC), True),
        (QuietHours(begins=time(12), ends=time(13), zone="UTC"), datetime(2026, 3, 2, 12, 30, tzinfo=UTC), True),
        (QuietHours(begins=time(12), ends=time(13), zone="UTC"), datetime(2026, 3, 2, 13, 0, tzinfo=UTC), False),
    ],
)
def test_quiet_hours_are_those_of_their_time_zone(quiet: QuietHours, at: datetime, expected: bool) -> None:
    assert is_quiet(quiet, now=at) == expected


def test_quiet_hours_put_off_what_is_not_critical() -> None:
    rules = (rule(quiet=QuietHours(begins=time(11), ends=time(13), zone="UTC")),)
    assert planned(incident(), rules=rules) == []
    assert planned(incident(critical=True), rules=rules)
    strict = (replace(rules[0], critical_breaks_quiet=False),)
    assert planned(incident(critical=True), rules=strict) == []
    assert planned(incident(), rules=rules, now=NOW + timedelta(hours=1))
    told = told_by(planned(incident()), NOW)
    assert planned(recovered=(over(incident()),), rules=rules, told=told) == []
    assert planned(recovered=(over(incident()),), rules=rules, told=told, now=NOW + timedelta(hours=1))


# ---- whole histories -------------------------------------------------------------------------------------------------

COMPONENTS = ("database:default", "database:timeseries", "disk")
PATTERNS = ("*", "database:*", "disk", "nothing")
MINUTES = st.integers(0, 120)

rules_drawn = st.lists(
    st.builds(
        Rule,
        name=st.just("rule"),
        component_pattern=st.sampled_from(PATTERNS),
        least_severity=st.sampled_from([HealthStatus.WARNING, HealthStatus.ERROR]),
        lasting=MINUTES.map(lambda minutes: minutes * MINUTE),
        channel_ids=st.frozensets(st.sampled_from([DAY, NIGHT])),
        quiet=st.none() | st.just(QuietHours(begins=time(12, 20), ends=time(13), zone="UTC")),
        critical_breaks_quiet=st.booleans(),
        repeat_every=st.none() | st.integers(1, 60).map(lambda minutes: minutes * MINUTE),
    ),
    min_size=1,
    max_size=4,
)
silences_drawn = st.lists(
    st.builds(
        lambda pattern, begins, lasts: SilenceSpan(
            component_pattern=pattern, begins_at=NOW + begins * MINUTE, ends_at=NOW + (begins + lasts) * MINUTE
        ),
        st.sampled_from(PATTERNS),
        MINUTES,
        st.integers(1, 60),
    ),
    max_size=3,
)
lives_drawn = st.lists(
    st.tuples(
        st.sampled_from(COMPONENTS),
        st.sampled_from([HealthStatus.WARNING, HealthStatus.UNKNOWN, HealthStatus.ERROR]),
        st.booleans(),
        MINUTES,
        st.integers(1, 120),
        st.none() | MINUTES,
    ),
    max_size=6,
)


def rounds(lives: list[Any], rules: list[Rule], silences: list[SilenceSpan]) -> list[tuple[datetime, list[Message]]]:
    """Three hours in steps of five minutes; what has ended is given on, as the worker does."""
    told: list[Told] = []
    history = []
    for step in range(0, 245, 5):
        now = NOW + step * MINUTE
        opened, ended = [], []
        for number, (component, severity, critical, begins, lasts, acknowledged) in enumerate(lives):
            one = incident(
                number,
                component=component,
                severity=severity,
                critical=critical,
                began_at=NOW + begins * MINUTE,
                acknowledged=acknowledged is not None and acknowledged <= step,
            )
            if begins <= step < begins + lasts:
                opened.append(one)
            elif step >= begins + lasts:
                ended.append(over(one, at=NOW + (begins + lasts) * MINUTE))
        found = planned(
            *opened, recovered=tuple(ended), rules=tuple(rules), silences=tuple(silences), told=told, now=now
        )
        told += told_by(found, now)
        history.append((now, found))
    return history


@settings(max_examples=150, deadline=None)
@given(lives=lives_drawn, rules=rules_drawn, silences=silences_drawn)
def test_whatever_happens_nobody_is_told_twice_or_in_a_silence_or_of_an_end_without_a_beginning(
    lives: list[Any], rules: list[Rule], silences: list[SilenceSpan]
) -> None:
    seen: set[tuple[UUID, UUID, str, int]] = set()
    for now, messages in rounds(lives, rules, silences):
        places = [(each.channel_id, each.kind) for each in messages]
        assert len(places) == len(set(places)), "one message of a kind to a channel in a round"
        for message in messages:
            for part in message.parts:
                key = (message.channel_id, part.incident.id, str(message.kind), part.number)
                assert key not in seen
                seen.add(key)
                if message.kind != OPENED:
                    assert (message.channel_id, part.incident.id, "opened", 1) in seen
                if message.kind != RECOVERED:
                    assert not part.incident.acknowledged
                    assert (message.channel_id, part.incident.id, "recovered", 1) not in seen
                for silence in silences:
                    inside = silence.begins_at <= now < silence.ends_at
                    matching = silence.component_pattern == "*" or part.incident.component.startswith(
                        silence.component_pattern.rstrip("*")
                    )
                    assert not (inside and matching)


@settings(max_examples=100, deadline=None)
@given(lives=lives_drawn, rules=rules_drawn)
def test_whatever_began_and_was_told_is_told_to_be_over(lives: list[Any], rules: list[Rule]) -> None:
    """Long after all is over, and with no silence and no quiet hours left, every beginning has its end."""
    seen = {
        (message.channel_id, part.incident.id, str(message.kind))
        for _, messages in rounds(lives, rules, [])
        for message in messages
        for part in message.parts
    }
    assert {(place, who) for place, who, kind in seen if kind == "opened"} == {
        (place, who) for place, who, kind in seen if kind == "recovered"
    }
