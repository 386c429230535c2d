"""The feed of order events over HTTP: what happened since a cursor, heard as soon as it is on record."""

from __future__ import annotations

import threading
from typing import Annotated, Literal
from uuid import UUID

from django.conf import settings
from ninja import Query
from pydantic import BaseModel

from emo_site.api.answers import Answer, answer
from emo_site.api.caller import ApiRequest, Caller
from emo_site.api.fields import At
from emo_site.api.problems import bad_field, problem_of
from emo_site.api.routes import Routes
from emo_site.api.scopes import Scope
from emo_site.problem import Problem
from orders import order_feed
from orders.choices import EventKind, OrderStatus
from orders.entitlement import require
from orders.feed_cursor import BEGINNING, Cursor, InvalidCursor
from orders.order_feed import FeedEvent, Page, UnknownCursor

routes = Routes(tags=["events"])

SEES = ("orders.view_stagedorder", "see orders")
NOW = "now"
# Each of those who wait keeps a thread of the server, which has eight in each process as `make run` starts it. Whoever
# comes when so many wait in this process is answered at once, with what there is.
MOST_WAITING = 4
_places = threading.BoundedSemaphore(MOST_WAITING)


class OrderEventOut(BaseModel):
    """Something that happened to an order. `sequence` counts the events of the order, from 1; `actor` is a user name,
    or what acted where no person did.
    """

    id: UUID
    order_id: UUID
    client_order_id: str
    strategy: str
    symbol: str
    sequence: int
    at: At
    kind: EventKind
    actor: str
    from_status: OrderStatus | Literal[""]
    to_status: OrderStatus
    reason: str


class EventsOut(BaseModel):
    """`cursor` is what to ask for next; it may have moved where there are no events."""

    events: list[OrderEventOut]
    cursor: str


@routes.read("/events", scope=Scope.READ, answers=EventsOut)
def get_events(
    request: ApiRequest,
    after: Annotated[str, Query(max_length=64)] = str(BEGINNING),
    wait: Annotated[float, Query(ge=0, le=60)] = 0,
    limit: Annotated[int, Query(ge=1, le=order_feed.MOST)] = order_feed.MOST,
) -> Answer:
    """The events behind the cursor `after`, in the order in which they came on record: each once, none left out. They
    are those of the token's strategies. 0: from the beginning; now: none, and the cursor of this moment.

    Where there are none, the answer waits for the first, `wait` seconds at most, and no more than half of the desk's
    own limit for requests.
    """
    require(request.auth.user, *SEES)
    page = _page(request.auth, after, wait, limit)
    return answer(EventsOut(events=[_out(each) for each in page.events], cursor=str(page.cursor)))


def _page(caller: Caller, after: str, wait: float, limit: int) -> Page:
    if after == NOW:
        return Page(events=(), cursor=order_feed.newest())
    cursor = Cursor.parse(after)
    seconds = min(wait, settings.EMO_REQUEST_TIMEOUT_SECONDS / 2)
    may_wait = seconds > 0 and _places.acquire(blocking=False)
    try:
        return order_feed.wait_since(
            cursor, wanted=lambda event: _is_for(caller, event), seconds=seconds if may_wait else 0, most=limit
        )
    finally:
        if may_wait:
            _places.release()


def _is_for(caller: Caller, event: FeedEvent) -> bool:
    return event.environment == caller.environment and caller.may_act_for(event.strategy)


def _out(event: FeedEvent) -> OrderEventOut:
    return OrderEventOut.model_validate({name: getattr(event, name) for name in OrderEventOut.model_fields})


@problem_of.register
def _of_what_no_feed_gave(error: InvalidCursor) -> Problem:
    field, _, rest = str(error).partition("=")
    value, _, rule = rest.rpartition(": ")
    return bad_field(field, value, rule)


@problem_of.register
def _of_another_feed(error: UnknownCursor) -> Problem:
    return Problem(422, "UNKNOWN_CURSOR", f"{error}.")
