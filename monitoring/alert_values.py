"""What alerts are about and made of: plain values, so that they can be told while no database answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from monitoring.choices import ChannelKind, HealthStatus, NotificationKind

# The channel that a new desk has. It has a name of its own, so that what was told through it before the database
# could be read for the first time is known as such afterwards.
FIRST_CHANNEL_ID = UUID("e30a1e47-0000-4000-8000-000000000001")


@dataclass(frozen=True, kw_only=True)
class OpenIncident:
    """A component that is not well, as long as that lasts. `severity` is the worst it came to; times are aware."""

    id: UUID
    component: str
    severity: HealthStatus
    critical: bool
    message: str
    remedy: str
    began_at: datetime
    acknowledged: bool
    environment: str


@dataclass(frozen=True, kw_only=True)
class Recovered(OpenIncident):
    """The same, once it is over."""

    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class QuietHours:
    """From `begins` until before `ends`, over midnight where that is earlier, in the time zone with that IANA name."""

    begins: time
    ends: time
    zone: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which incidents are told to which channels. `component_pattern` is a glob; `repeat_every` None: told once."""

    name: str
    component_pattern: str
    least_severity: HealthStatus
    lasting: timedelta
    channel_ids: frozenset[UUID]
    quiet: QuietHours | None = None
    critical_breaks_quiet: bool = True
    repeat_every: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class SilenceSpan:
    """Nothing is told of components that match the glob, from `begins_at` until before `ends_at` (aware)."""

    component_pattern: str
    begins_at: datetime
    ends_at: datetime


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Where to. The URL of a webhook may be a secret too; neither is shown where a value is printed."""

    id: UUID
    name: str
    kind: ChannelKind
    addresses: tuple[str, ...] = ()
    url: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Told:
    """That a channel was told of an incident. `number` counts repetitions from 1; it is 1 of all else.

    `dead`: the message was given up, so that nobody has got it.
    """

    channel_id: UUID
    incident_id: UUID
    kind: NotificationKind
    number: int
    at: datetime
    dead: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """One incident of a message, and the how-manieth of its kind this is."""

    incident: OpenIncident
    number: int


@dataclass(frozen=True, kw_only=True)
class Message:
    """What one channel is to be told in one round, the worst incident first."""

    channel_id: UUID
    kind: NotificationKind
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message in words, on its way: under way while it is neither sent nor dead.

    `told` are incident and number; `document` is what a webhook is sent and an e-mail is rendered from;
    `waiting_for` are addresses that have not got it yet (none of a webhook).
    """

    id: UUID
    channel_id: UUID
    kind: NotificationKind
    told: tuple[tuple[UUID, int], ...]
    subject: str
    body: str
    document: Mapping[str, Any]
    waiting_for: tuple[str, ...]
    created_at: datetime
    attempts: int = 0
    next_try_at: datetime
    sent_at: datetime | None = None
    dead_at: datetime | None = None
    failure: str = ""

    @property
    def under_way(self) -> bool:
        return self.sent_at is None and self.dead_at is None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of one try: no `failure` means delivered. `permanent`: trying again will not help."""

    at: datetime
    failure: str = ""
    permanent: bool = False
    waiting_for: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Who is told what, as last read."""

    channels: Mapping[UUID, Channel]
    rules: tuple[Rule, ...]
    silences: tuple[SilenceSpan, ...]
