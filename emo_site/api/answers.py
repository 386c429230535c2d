"""What a write is answered, done once for each Idempotency-Key. The only writer of StoredAnswer.

In one transaction: the key, the work, the answer, and who asked. A crash leaves none of them. A twin at the same moment
waits for the first one's end (PostgreSQL: at the unique key; SQLite: for the file) and gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.db import IntegrityError, OperationalError, transaction
from django.http import HttpRequest, HttpResponse
from pydantic import BaseModel

from emo_site import problem as problem_document
from emo_site.api import calls, gate
from emo_site.api.caller import Caller
from emo_site.api.models import StoredAnswer
from emo_site.api.problems import problem_of
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.problem import Problem

# Longer than any outage after which a program still repeats what it has sent.
KEPT = timedelta(hours=48)
REPLAYED = "Idempotency-Replayed"
# What else makes it the same request, or another one.
_PRECONDITIONS = ("If-Match",)
_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`body` is JSON. `order_id` and `event`: the order that was changed, and the number of its last event."""

    body: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    """Of the problem that it is."""
    order_id: UUID | None = None
    event: int | None = None


def answer(
    document: BaseModel,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    order_id: UUID | None = None,
    event: int | None = None,
) -> Answer:
    """Of success."""
    return Answer(
        body=document.model_dump_json(), status=status, headers=dict(headers or {}), order_id=order_id, event=event
    )


def response(given: Answer, *, replayed: bool = False) -> HttpResponse:
    is_problem = given.status >= 400
    found = HttpResponse(
        given.body,
        status=given.status,
        content_type=problem_document.MEDIA_TYPE if is_problem else "application/json",
    )
    for name, value in {"Cache-Control": "no-store", **given.headers}.items():
        found[name] = value
    if replayed:
        found[REPLAYED] = "true"
    return found


@dataclass(frozen=True, kw_only=True)
class Write:
    """A request that changes something. `fingerprint`: equal for equal requests."""

    request: HttpRequest
    caller: Caller
    key: str
    fingerprint: str

    @classmethod
    def of(cls, request: HttpRequest, caller: Caller) -> Write:
        said = [request.method or "", request.get_full_path(), *(request.headers.get(n, "") for n in _PRECONDITIONS)]
        digest = sha256("\n".join(said).encode() + b"\n" + request.body).hexdigest()
        return cls(request=request, caller=caller, key=gate.key_of(request), fingerprint=digest)


def once(write: Write, act: Callable[[], Answer], *, item: int = 0) -> tuple[Answer, bool]:
    """What `act` answers, or what it answered before, and which of the two.

    What it refuses (an exception that problem_of knows, below 500) is an answer, too, and is kept with all that was
    written. Any other exception undoes everything and goes on. Raises Problem 409: for a key that was used for another
    request, and where its twin is still at work.
    """
    for _ in range(3):
        try:
            with transaction.atomic(using=PRIMARY_ALIAS):
                return _first(write, act, item), False
        except _KeyTaken:
            if (stored := _stored(write, item)) is not None:
                calls.record(
                    write.request, write.caller, status=stored.status, code=stored.code, key=write.key,
                    item=item, replayed=True, order_id=stored.order_id, event=stored.event,
                )  # fmt: skip
                return stored, True
    raise _busy()


def prune(*, now: datetime) -> int:
    """How many answers were too old to be asked for again."""
    return int(StoredAnswer.objects.using(PRIMARY_ALIAS).filter(at__lt=now - KEPT).delete()[0])


class _KeyTaken(Exception):
    """The key was used before, or is being used."""


def _first(write: Write, act: Callable[[], Answer], item: int) -> Answer:
    row = StoredAnswer(
        token=write.caller.token, key=write.key, item=item, fingerprint=write.fingerprint, at=write.caller.at
    )
    _reserve(row)
    given = _acted(write.request, act)
    row.status, row.body, row.headers = given.status, given.body, _kept(given)
    row.save(update_fields=["status", "body", "headers"], using=PRIMARY_ALIAS)
    calls.record(
        write.request, write.caller, status=given.status, code=given.code, key=write.key, item=item,
        order_id=given.order_id, event=given.event,
    )  # fmt: skip
    return given


def _reserve(row: StoredAnswer) -> None:
    try:
        row.save(force_insert=True, using=PRIMARY_ALIAS)
    except IntegrityError as error:
        raise _KeyTaken from error
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == _LOCK_NOT_AVAILABLE:
            raise _busy() from error
        raise


def _acted(request: HttpRequest, act: Callable[[], Answer]) -> Answer:
    try:
        return act()
    except Exception as error:
        problem = problem_of(error)
        if problem is None or problem.status >= 500:
            raise
        return refusal(problem, request)


def refusal(problem: Problem, request: HttpRequest) -> Answer:
    return Answer(
        body=problem_document.text(problem, request),
        status=problem.status,
        headers=problem.headers,
        code=problem.code,
    )


def _stored(write: Write, item: int) -> Answer | None:
    """None where there is none (any more): the twin was undone, or it was too old."""
    rows = StoredAnswer.objects.using(PRIMARY_ALIAS).filter(token=write.caller.token, key=write.key, item=item)
    row = rows.first()
    if row is None or row.status is None:
        return None
    if row.at < write.caller.at - KEPT:
        rows.filter(at=row.at).delete()
        return None
    if row.fingerprint != write.fingerprint:
        raise Problem(
            409,
            "IDEMPOTENCY_KEY_REUSED",
            f"{gate.KEY} {write.key} was used at {row.at:%Y-%m-%d %H:%M:%S} UTC for another request.",
        )
    known = row.headers
    return Answer(
        body=row.body,
        status=row.status,
        headers=known["headers"],
        code=known["code"],
        order_id=UUID(known["order_id"]) if known["order_id"] else None,
        event=known["event"],
    )


def _kept(given: Answer) -> dict[str, object]:
    return {
        "headers": dict(given.headers),
        "code": given.code,
        "order_id": str(given.order_id) if given.order_id else "",
        "event": given.event,
    }


def _busy() -> Problem:
    return Problem(
        409,
        "IDEMPOTENCY_KEY_IN_USE",
        "The same request is being worked at. Ask again for its answer.",
        headers={"Retry-After": "1"},
    )
