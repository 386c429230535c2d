"""Order events in the order in which they became visible: whoever reads on from a cursor misses none. The only writer
of FeedPlace, and the only one who takes OrderNews away.

Ids and times of events are made before their commit, and commits come in another order: who asks for what is later
than the last one they saw would pass over an event that was committed late. So an event gets its number after its
commit. The database notes each new event in order_news, by a trigger in the event's own transaction; whoever reads the
feed first numbers what is noted, one reader at a time. What is rolled back leaves no note and so no gap, and a
transaction that stays open holds up its own events and nobody else's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Max

from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.one_runner import key_of
from orders.feed_cursor import BEGINNING, Cursor
from orders.models import FeedPlace, OrderNews

MOST = 500
# Seconds between two looks of whoever waits for news.
LOOK_EVERY = 0.25
# A desk that nobody has read the feed of may have noted millions: numbered in one go they would outlast a request.
_NUMBERED_AT_ONCE = 20_000

_NUMBER = """
INSERT INTO order_feed (number, event_id)
SELECT %s + row_number() OVER (ORDER BY id), event_id
FROM (SELECT id, event_id FROM order_news ORDER BY id LIMIT %s) AS news
"""
_TAKE_AWAY = "DELETE FROM order_news WHERE event_id IN (SELECT event_id FROM order_feed WHERE number > %s)"
# A reader that stands still in the middle would keep all others from numbering: the server ends it.
_ALONE = "SELECT pg_try_advisory_xact_lock(%s), set_config('idle_in_transaction_session_timeout', '5000', true)"
_LOCK = key_of("order feed")


class UnknownCursor(Exception):
    """The feed has no such event at that place: it is not the one that was read, or the cursor is not of this desk."""


@dataclass(frozen=True, kw_only=True)
class FeedEvent:
    """An event of an order, with what tells whose it is. `actor` is a user name, or what acted where nobody did."""

    number: int
    id: UUID
    order_id: UUID
    client_order_id: str
    environment: str
    strategy: str
    symbol: str
    sequence: int
    at: datetime
    kind: str
    actor: str
    from_status: str
    to_status: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """Events in the order of the feed, and the cursor to go on from. It may have moved where no event was wanted."""

    events: tuple[FeedEvent, ...]
    cursor: Cursor


_COLUMNS = {
    "number": "number",
    "id": "event_id",
    "order_id": "event__order_id",
    "client_order_id": "event__order__client_order_id",
    "environment": "event__order__environment",
    "strategy": "event__order__strategy",
    "symbol": "event__order__symbol",
    "sequence": "event__sequence",
    "at": "event__at",
    "kind": "event__kind",
    "actor": "event__actor_name",
    "from_status": "event__from_status",
    "to_status": "event__to_status",
    "reason": "event__reason",
}


def since(cursor: Cursor, *, most: int = MOST) -> Page:
    """The next events behind the cursor, none where there is no news. Call it outside a transaction: until that ended,
    nobody else could number any. Raises UnknownCursor.
    """
    _number_news()
    # The event that the cursor names comes with the others, to see that it is there.
    places = FeedPlace.objects.using(PRIMARY_ALIAS).filter(number__gte=max(1, cursor.number)).order_by("number")
    rows = places.values_list(*_COLUMNS.values())[: most + 1]
    found = [FeedEvent(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]
    if cursor != BEGINNING:
        if not found or (found[0].number, found[0].id) != (cursor.number, cursor.event):
            raise UnknownCursor(f"after={cursor}: the feed of this desk has no such event at that place")
        del found[0]
    events = tuple(found[:most])
    return Page(events=events, cursor=Cursor(events[-1].number, events[-1].id) if events else cursor)


def wait_since(cursor: Cursor, *, wanted: Callable[[FeedEvent], bool], seconds: float, most: int = MOST) -> Page:
    """`since`, of the wanted events only; where there are none, not before the first one comes or the time is over.

    No connection is held meanwhile. Raises UnknownCursor.
    """
    give_up_at = time.monotonic() + seconds
    while True:
        page = since(cursor, most=most)
        events = tuple(filter(wanted, page.events))
        left = give_up_at - time.monotonic()
        if events or left <= 0:
            return Page(events=events, cursor=page.cursor)
        cursor = page.cursor
        if not page.events:
            _let_go(connections[PRIMARY_ALIAS])
            time.sleep(min(LOOK_EVERY, left))


def newest() -> Cursor:
    """Behind all that is visible by now: for who wants to hear only what comes."""
    while _number_news():
        pass
    last = FeedPlace.objects.using(PRIMARY_ALIAS).order_by("-number").values_list("number", "event_id").first()
    return Cursor(*last) if last else BEGINNING


def _number_news() -> bool:
    """Whether it gave numbers. Where somebody else does so at this moment, theirs are there at the next look."""
    if OrderNews.objects.using(PRIMARY_ALIAS).order_by("pk").values_list("pk").first() is None:
        return False
    connection = connections[PRIMARY_ALIAS]
    with transaction.atomic(using=PRIMARY_ALIAS), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_ALONE, [_LOCK])
            if not cursor.fetchone()[0]:
                return False
        # Only behind the lock: what the one before has numbered must be seen.
        last = FeedPlace.objects.using(PRIMARY_ALIAS).aggregate(last=Max("number"))["last"] or 0
        cursor.execute(_NUMBER, [last, _NUMBERED_AT_ONCE])
        given = int(cursor.rowcount)
        cursor.execute(_TAKE_AWAY, [last])
    return given > 0


def _let_go(connection: BaseDatabaseWrapper) -> None:
    """To the pool; inside a transaction (of a test) it is somebody else's."""
    if not connection.in_atomic_block:
        connection.close()
