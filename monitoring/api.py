"""Market events in, many at a time, and the health of what is outside of the desk, over HTTP."""

from __future__ import annotations

import io

from django.conf import settings
from pydantic import BaseModel

from emo_site.api.answers import Answer, answer
from emo_site.api.caller import ApiRequest
from emo_site.api.fields import At, Body, Document
from emo_site.api.problems import bad_field, problem_of
from emo_site.api.routes import Routes
from emo_site.api.scopes import Scope
from emo_site.problem import FieldError, Problem
from monitoring import component_reports, event_intake
from monitoring.choices import HealthStatus
from monitoring.component_state import ComponentReport, InvalidReport
from monitoring.event_blocks import Refused
from monitoring.event_intake import BodyKind, NoEvents, TooLarge, Unreadable

routes = Routes(tags=["monitoring"])

# A problem tells the first ones; what is taken in tells all that it refused.
_TOLD = 20


class RefusedRow(BaseModel):
    """`line` counts the lines, or the items of the array, from 1."""

    line: int
    field: str
    value: str
    rule: str


class TakenIn(BaseModel):
    """`new` and `known` are on record; `quarantined` are not, and are kept aside with their reasons."""

    received: int
    new: int
    known: int
    quarantined: list[RefusedRow]


class HealthBody(Body):
    """What a component says of itself; its next report is due within `next_within_seconds`."""

    status: HealthStatus
    next_within_seconds: int
    message: str = ""
    latency_ms: float | None = None
    metrics: Document = {}


class Forgotten(BaseModel):
    """Whether there was a report of it."""

    forgotten: bool


class HealthOut(BaseModel):
    name: str
    status: HealthStatus
    reported_at: At


@routes.write(
    "/market-events",
    scope=Scope.INGEST,
    answers=TakenIn,
    largest=event_intake.LARGEST_LINES,
    media_types=tuple(BodyKind.values),
    own_body={BodyKind.LINES: {"type": "string"}, BodyKind.ARRAY: {"type": "array", "items": {}}},
)
def send_market_events(request: ApiRequest) -> Answer:
    """Takes market events in: JSON lines (application/x-ndjson, up to 16 MiB) or a JSON array (application/json, up to
    4 MiB), also compressed (Content-Encoding: gzip). All that are events are on record once it answers; the same event
    from the same source is there once, however often it is sent.
    """
    name = request.auth.token.prefix
    taken = event_intake.take_in(
        io.BytesIO(request.body),
        length=int(request.META.get("CONTENT_LENGTH") or 0),
        kind=BodyKind(request.content_type or ""),
        gzipped=_is_gzipped(request.headers.get("Content-Encoding", "")),
        source=f"api:{name}",
        quarantine=settings.EMO_DATA_DIR / "quarantine" / f"api-{name}.jsonl",
    )
    refused = [_told(each) for each in taken.refused]
    return answer(TakenIn(received=taken.received, new=taken.new, known=taken.known, quarantined=refused))


@routes.write("/components/{name}/health", scope=Scope.INGEST, answers=HealthOut)
def report_health(request: ApiRequest, name: str, body: HealthBody) -> Answer:
    """The last word of a component outside of the desk (the broker's gateway, the bot itself): the health reports have
    it until the next one is due, and say that nothing is known from then on.
    """
    said = ComponentReport(
        name=name,
        status=body.status,
        next_within_seconds=body.next_within_seconds,
        message=body.message,
        latency_ms=body.latency_ms,
        metrics=body.metrics,
    )
    by = f"{request.auth.user.get_username()} ({request.auth.token.name})"
    component_reports.report(said, by=by[:150], now=request.auth.at)
    return answer(HealthOut(name=name, status=body.status, reported_at=request.auth.at))


@routes.write("/components/{name}/forget", scope=Scope.INGEST, answers=Forgotten)
def forget_component(request: ApiRequest, name: str) -> Answer:
    """For a component that is gone for good: nobody expects a report of it any more."""
    return answer(Forgotten(forgotten=component_reports.forget(name)))


def _is_gzipped(encoding: str) -> bool:
    if encoding.lower() in ("", "identity"):
        return False
    if encoding.lower() == "gzip":
        return True
    raise bad_field("Content-Encoding", encoding, "must be gzip, or not be there", status=415, code="ENCODING")


def _told(row: Refused) -> RefusedRow:
    return RefusedRow(line=row.line, field=row.problem.field, value=row.problem.value, rule=row.problem.rule)


@problem_of.register
def _of_too_much(error: TooLarge) -> Problem:
    return Problem(413, "TOO_LARGE", f"{error}.")


@problem_of.register
def _of_something_else(error: Unreadable) -> Problem:
    return Problem(400, "UNREADABLE", f"The body {error}.")


@problem_of.register
def _of_no_events(error: NoEvents) -> Problem:
    errors = [
        FieldError(field=f"{row.line}.{row.problem.field}", value=row.problem.value, rule=row.problem.rule)
        for row in error.refused[:_TOLD]
    ]
    return Problem(422, "NO_EVENTS", f"{error}: nothing was taken in.", errors=errors)


@problem_of.register
def _of_no_report(error: InvalidReport) -> Problem:
    return bad_field(error.field, error.value, error.rule)
