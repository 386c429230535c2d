"""Lists of orders and order reviews that somebody comes back to, by name. The only writer of SavedFilter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from orders.choices import FilterPlace
from orders.models import SavedFilter
from orders.refusal import Refused

# What each page can be asked for. The list of orders: its filters, the search, the date, and how it is sorted.
PARAMETERS: Mapping[FilterPlace, frozenset[str]] = MappingProxyType(
    {
        FilterPlace.QUEUE: frozenset(
            {"status", "strategy", "environment", "source", "q", "o"}
            | {f"created_at__{part}" for part in ("year", "month", "day")}
        ),
        FilterPlace.REVIEW: frozenset(
            {"period", "from", "to", "strategy", "symbol", "environment", "status", "reviewer"}
        ),
    }
)
# Of each page.
MOST = 20
LONGEST_NAME, LONGEST_QUERY = 64, 1000


def of(owner: User, place: FilterPlace) -> QuerySet[SavedFilter]:
    return SavedFilter.objects.filter(owner=owner, place=place).order_by("name")


def save(owner: User, place: FilterPlace, *, name: str, query: str, now: datetime) -> SavedFilter:
    """Keeps the page's query, with or without its question mark. Raises Refused: a parameter that the page has not, a
    name that the owner has given before, or more than MOST of them.
    """
    row = SavedFilter(owner=owner, place=place, name=_fit(name), query=_known(query, place), created_at=now)
    if of(owner, place).count() >= MOST:
        raise Refused("TOO_MANY", f"{MOST} filters are saved: delete one first.")
    _write(row)
    return row


def rename(owner: User, place: FilterPlace, filter_id: int, *, name: str) -> SavedFilter:
    """Raises Refused for a name that the owner has given before, and where they have no filter with that id."""
    row = _own(owner, place, filter_id)
    row.name = _fit(name)
    _write(row)
    return row


def delete(owner: User, place: FilterPlace, filter_id: int) -> str:
    """Forgets the filter, and says its name. Raises Refused where the owner has none with that id."""
    row = _own(owner, place, filter_id)
    row.delete()
    return row.name


def _own(owner: User, place: FilterPlace, filter_id: int) -> SavedFilter:
    row = of(owner, place).filter(pk=filter_id).first()
    if row is None:
        raise Refused("UNKNOWN_FILTER", f"You have no saved filter {filter_id}.")
    return row


def _fit(name: str) -> str:
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused("BAD_NAME", f"name={name!r}: 1 to {LONGEST_NAME} printable characters are needed.")
    return name


def _write(row: SavedFilter) -> None:
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        same = SavedFilter.objects.filter(owner=row.owner, place=row.place, name=row.name).exclude(pk=row.pk)
        if same.exists():
            raise Refused("NAME_TAKEN", f"name={row.name!r}: you have saved a filter of that name.") from error
        raise


def _known(query: str, place: FilterPlace) -> str:
    """The query as the page would write it."""
    try:
        pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True, strict_parsing=bool(query.strip("?")))
    except ValueError as error:
        raise Refused("BAD_QUERY", f"query={query[:80]!r}: is not the query of a list.") from error
    for name, value in pairs:
        if name not in PARAMETERS[place]:
            raise Refused("BAD_QUERY", f"{name[:80]!r} is no parameter of the {place.label}.")
        if not value.isprintable():
            raise Refused("BAD_QUERY", f"{name}={value[:80]!r}: holds a control character.")
    text = urlencode(pairs)
    if len(text) > LONGEST_QUERY:
        raise Refused("BAD_QUERY", f"The query has {len(text)} characters, {LONGEST_QUERY} are kept.")
    return text
