"""Lists of orders that somebody comes back to, by name. The only writer of SavedFilter."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from orders.models import SavedFilter
from orders.refusal import Refused

# What the list of orders can be asked for: its filters, the search, the date, and how it is sorted.
PARAMETERS = frozenset(
    {"status", "strategy", "environment", "source", "q", "o"}
    | {f"created_at__{part}" for part in ("year", "month", "day")}
)
MOST = 20
LONGEST_NAME, LONGEST_QUERY = 64, 1000


def of(owner: User) -> QuerySet[SavedFilter]:
    return SavedFilter.objects.filter(owner=owner).order_by("name")


def save(owner: User, *, name: str, query: str, now: datetime) -> SavedFilter:
    """Keeps the list's query, with or without its question mark. Raises Refused: a parameter that the list has not, a
    name that the owner has given before, or more than MOST of them.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused("BAD_NAME", f"name={name!r}: 1 to {LONGEST_NAME} printable characters are needed.")
    row = SavedFilter(owner=owner, name=name, query=_known(query), created_at=now)
    if of(owner).count() >= MOST:
        raise Refused("TOO_MANY", f"{MOST} filters are saved: delete one first.")
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        if of(owner).filter(name=name).exists():
            raise Refused("NAME_TAKEN", f"name={name!r}: you have saved a filter of that name.") from error
        raise
    return row


def delete(owner: User, filter_id: int) -> str:
    """Forgets the filter, and says its name. Raises Refused where the owner has none with that id."""
    row = of(owner).filter(pk=filter_id).first()
    if row is None:
        raise Refused("UNKNOWN_FILTER", f"You have no saved filter {filter_id}.")
    row.delete()
    return row.name


def _known(query: str) -> str:
    """The query as the list would write it."""
    try:
        pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True, strict_parsing=bool(query.strip("?")))
    except ValueError as error:
        raise Refused("BAD_QUERY", f"query={query[:80]!r}: is not the query of a list.") from error
    for name, value in pairs:
        if name not in PARAMETERS:
            raise Refused("BAD_QUERY", f"{name[:80]!r} is no parameter of the list of orders.")
        if not value.isprintable():
            raise Refused("BAD_QUERY", f"{name}={value[:80]!r}: holds a control character.")
    text = urlencode(pairs)
    if len(text) > LONGEST_QUERY:
        raise Refused("BAD_QUERY", f"The query has {len(text)} characters, {LONGEST_QUERY} are kept.")
    return text
