"""A message in words: subject, text and the document that webhooks are sent. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from emo_site import display
from monitoring.alert_values import Channel, Delivery, Message, OpenIncident, Part, Recovered
from monitoring.choices import NotificationKind

_NAMESPACE = uuid.UUID("5f2f6a0e-2a53-5d0c-9b0e-6a4c70d8a1ce")
# A mail that nobody reads to its end tells nothing: long messages are cut, and many incidents counted.
LONGEST_MESSAGE = 1_000
MOST_IN_WORDS = 30
LONGEST_SUBJECT = 160
# PagerDuty's words: one case per dedup_key, opened and closed by these.
_ACTIONS = {
    NotificationKind.OPENED: "trigger",
    NotificationKind.REPEATED: "trigger",
    NotificationKind.RECOVERED: "resolve",
    NotificationKind.TEST: "test",
}


def delivery_of(message: Message, channel: Channel, *, environment: str, now: datetime) -> Delivery:
    """The message as it will be sent; its id follows from whom it tells what, whoever makes it and when."""
    told = tuple((part.incident.id, part.number) for part in message.parts)
    incidents = [part.incident for part in message.parts]
    subject = _cut(f"[EMO {environment}] {_heading(message.kind, incidents)}", LONGEST_SUBJECT)
    body = _body(message, now)
    identifier = _id_of(message.channel_id, message.kind, told)
    return Delivery(
        id=identifier,
        channel_id=message.channel_id,
        kind=message.kind,
        told=told,
        subject=subject,
        body=body,
        document=_document(identifier, message, subject=subject, environment=environment, now=now),
        waiting_for=channel.addresses,
        created_at=now,
        next_try_at=now,
    )


def trial_of(identifier: uuid.UUID, channel: Channel, *, by: str, environment: str, now: datetime) -> Delivery:
    """What the test button sends."""
    subject = f"[EMO {environment}] test of {_cut(_line(channel.name), 80)}"
    body = f"{by} tests this channel from the desk, {display.moment(now)}. Nothing is wrong.\n"
    message = Message(channel_id=channel.id, kind=NotificationKind.TEST, parts=())
    document = _document(identifier, message, subject=subject, environment=environment, now=now)
    return Delivery(
        id=identifier,
        channel_id=channel.id,
        kind=NotificationKind.TEST,
        told=(),
        subject=subject,
        body=body,
        document={**document, "note": body.strip()},
        waiting_for=channel.addresses,
        created_at=now,
        next_try_at=now,
    )


def _id_of(channel_id: uuid.UUID, kind: NotificationKind, told: Sequence[tuple[uuid.UUID, int]]) -> uuid.UUID:
    parts = " ".join(sorted(f"{incident_id}:{number}" for incident_id, number in told))
    return uuid.uuid5(_NAMESPACE, f"{channel_id} {kind} {parts}")


def _heading(kind: NotificationKind, incidents: Sequence[OpenIncident]) -> str:
    names = [_line(incident.component) for incident in incidents]
    if len(incidents) == 1:
        incident = incidents[0]
        if isinstance(incident, Recovered):
            return f"recovered: {names[0]} after {display.age(incident.ended_at - incident.began_at)}"
        still = "still " if kind == NotificationKind.REPEATED else ""
        return f"{still}{incident.severity}: {names[0]}"
    what = {
        NotificationKind.OPENED: "problems",
        NotificationKind.REPEATED: "problems go on",
        NotificationKind.RECOVERED: "recovered",
    }[kind]
    return f"{len(incidents)} {what}: {', '.join(names)}"


def _body(message: Message, now: datetime) -> str:
    shown = message.parts[:MOST_IN_WORDS]
    blocks = ["\n".join(_block(part, now)) for part in shown]
    if left := len(message.parts) - len(shown):
        blocks.append(f"And {left} more: see the desk's list of incidents.")
    return "\n\n".join(blocks) + "\n"


def _block(part: Part, now: datetime) -> list[str]:
    incident = part.incident
    critical = ", critical" if incident.critical else ""
    lines = [f"{_line(incident.component)} ({incident.environment}{critical})"]
    if isinstance(incident, Recovered):
        took = display.age(incident.ended_at - incident.began_at)
        lines.append(f"Recovered {display.moment(incident.ended_at)}, after {took} of {incident.severity}.")
        lines.append(f"It was: {_cut(incident.message.strip(), LONGEST_MESSAGE)}")
        return lines
    lasting = display.age(now - incident.began_at)
    lines.append(f"{str(incident.severity).capitalize()} since {display.moment(incident.began_at)} ({lasting}).")
    lines.append(_cut(incident.message.strip(), LONGEST_MESSAGE))
    if incident.remedy:
        lines.append(f"What to do: {_cut(incident.remedy.strip(), LONGEST_MESSAGE)}")
    return lines


def _document(
    identifier: uuid.UUID, message: Message, *, subject: str, environment: str, now: datetime
) -> dict[str, Any]:
    return {
        "id": str(identifier),
        "text": _slack(subject, message),
        "kind": str(message.kind),
        "action": _ACTIONS[message.kind],
        "environment": environment,
        "created_at": now.isoformat(),
        "incidents": [_entry(part) for part in message.parts],
    }


def _entry(part: Part) -> Mapping[str, Any]:
    incident = part.incident
    return {
        "dedup_key": str(incident.id),
        "component": incident.component,
        "severity": str(incident.severity),
        "critical": incident.critical,
        "environment": incident.environment,
        "message": _cut(incident.message, LONGEST_MESSAGE),
        "remedy": _cut(incident.remedy, LONGEST_MESSAGE),
        "began_at": incident.began_at.isoformat(),
        "ended_at": incident.ended_at.isoformat() if isinstance(incident, Recovered) else None,
        "acknowledged": incident.acknowledged,
        "number": part.number,
    }


def _slack(subject: str, message: Message) -> str:
    """One line each, with the three signs escaped that would else make links and mentions."""
    lines = [subject]
    if not all(isinstance(part.incident, Recovered) for part in message.parts):
        lines += [
            f"• {_line(part.incident.component)}: {_cut(_line(part.incident.message), 300)}"
            for part in message.parts[:MOST_IN_WORDS]
        ]
    return "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    """Without line ends, which would begin a new header of a mail."""
    return " ".join(text.split())


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
