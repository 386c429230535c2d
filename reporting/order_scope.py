"""Which orders a review is about: a period of trading days and filters, as an address says them; and links to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.urls import reverse

from orders.choices import OrderStatus
from orders.models import OrderFacts, StagedOrder
from orders.standing import TRADING_ZONE, trading_day

NAMED_DAYS = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "365d": 365}
ALL = "all"
PERIODS = (
    ("1d", "today"),
    *((name, f"last {days} days") for name, days in NAMED_DAYS.items() if days > 1),
    (ALL, "all days"),
)
DEFAULT_PERIOD = "30d"
_LONGEST = 150


class BadScope(ValueError):
    """The message names parameter, value and rule."""


@dataclass(frozen=True, kw_only=True)
class Period:
    """Trading days of New York, both included. Raises BadScope where the last comes before the first."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise BadScope(f"to={self.last}: must not be before from={self.first}")
        if not 1980 < self.first.year <= self.last.year < 2100:
            raise BadScope(f"from={self.first}, to={self.last}: must be days from 1981 to 2099")

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def before(self) -> Period | None:
        """As many days, up to the day before the first; None where the calendar of trading has none."""
        try:
            return Period(first=self.first - timedelta(days=self.days), last=self.first - timedelta(days=1))
        except (BadScope, OverflowError):
            return None

    @property
    def since(self) -> datetime:
        return _midnight(self.first)

    @property
    def until(self) -> datetime:
        """The first moment that is not of it any more."""
        return _midnight(self.last + timedelta(days=1))


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Exact values; None: all. `symbol` is the underlying, so that options on it are found too."""

    strategy: str | None = None
    symbol: str | None = None
    environment: str | None = None
    status: str | None = None
    reviewer: str | None = None

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in OrderStatus.values:
            raise BadScope(f"status={self.status!r}: allowed are {', '.join(OrderStatus.values)}")
        for name, value in self.chosen.items():
            if len(value) > _LONGEST or "\0" in value:
                raise BadScope(f"{name}={value[:_LONGEST]!r}: at most {_LONGEST} characters, none of them NUL")

    @property
    def chosen(self) -> dict[str, str]:
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


# What an address may say.
ASKED = ("period", "from", "to", *(each.name for each in fields(Filters)))
# What each is called in facts, in an order's row and in the address of the admin's list.
_COLUMNS = {"strategy": "strategy", "symbol": "underlying", "environment": "environment", "status": "status"}
_NOBODY = 0


@dataclass(frozen=True, kw_only=True)
class Scope:
    """`period` None: all days. `period_name` is how the address says it, empty where it says both days.
    `reviewer_key` is that of the reviewer whom the filters name, once somebody has looked it up; see with_reviewer.
    """

    period: Period | None = None
    filters: Filters = Filters()
    period_name: str = ALL
    reviewer_key: int | None = None

    @property
    def before(self) -> Scope | None:
        period = self.period.before if self.period else None
        return replace(self, period=period) if period else None

    @property
    def is_summed(self) -> bool:
        """Whether summaries of orders (reporting/order_summaries.py) know these from others."""
        return self.filters.chosen.keys() <= {"strategy", "environment"}

    @property
    def query(self) -> dict[str, str]:
        """What an address says to come to the same."""
        chosen = self.filters.chosen
        if self.period is None or self.period_name:
            return {"period": self.period_name, **chosen}
        return {"from": self.period.first.isoformat(), "to": self.period.last.isoformat(), **chosen}

    def with_reviewer(self) -> Scope:
        """One query where the filters name a reviewer, none else."""
        if self.filters.reviewer is None:
            return self
        found = User.objects.filter(username=self.filters.reviewer).values_list("pk", flat=True).first()
        return replace(self, reviewer_key=_NOBODY if found is None else found)

    def facts(self, facts: QuerySet[OrderFacts]) -> QuerySet[OrderFacts]:
        if self.period:
            facts = facts.filter(day__gte=self.period.first, day__lte=self.period.last)
        if self.reviewer_key is not None:
            facts = facts.filter(reviewer=self.reviewer_key)
        wanted = self._columns()
        return facts.filter(**wanted) if wanted else facts

    def orders(self, orders: QuerySet[StagedOrder]) -> QuerySet[StagedOrder]:
        """The same of their rows."""
        if self.period:
            orders = orders.filter(created_at__gte=self.period.since, created_at__lt=self.period.until)
        if self.reviewer_key is not None:
            orders = orders.filter(reviewed_by=self.reviewer_key)
        wanted = self._columns()
        return orders.filter(**wanted) if wanted else orders

    def link(self, **more: object) -> str:
        """The admin's list of these orders, narrowed down further by what of their rows `more` says."""
        return _list_of("stagedorder", {"status": ALL, **self._lookups(), **more})

    def link_of(self, model: str, **more: object) -> str:
        """The admin's list of what belongs to these orders; `model` is the name of one that points at them."""
        return _list_of(model, {**{f"order__{name}": value for name, value in self._lookups().items()}, **more})

    def _lookups(self) -> dict[str, object]:
        """What an order's row must be."""
        asked: dict[str, object] = {}
        if self.period:
            asked |= {
                "created_at__gte": self.period.since.isoformat(),
                "created_at__lt": self.period.until.isoformat(),
            }
        if self.reviewer_key is not None:
            asked["reviewed_by__id__exact"] = self.reviewer_key
        return {**asked, **self._columns()}

    def _columns(self) -> dict[str, str]:
        return {_COLUMNS[name]: value for name, value in self.filters.chosen.items() if name in _COLUMNS}

    def of_day(self, day: date) -> Scope:
        return replace(self, period=Period(first=day, last=day), period_name="")


def _list_of(model: str, lookups: Mapping[str, object]) -> str:
    return f"{reverse(f'admin:orders_{model}_changelist')}?{urlencode(lookups)}"


def parse(asked: Mapping[str, str], *, now: datetime) -> Scope:
    """Of an address's parameters; others are left alone. Raises BadScope."""
    filters = Filters(**{each.name: _text(each.name, asked) for each in fields(Filters)})
    first, last = asked.get("from"), asked.get("to")
    if first or last:
        if not (first and last):
            raise BadScope("from and to: both are needed, each a day such as 2025-11-03")
        return Scope(period=Period(first=_day("from", first), last=_day("to", last)), filters=filters, period_name="")
    name = asked.get("period") or DEFAULT_PERIOD
    if name == ALL:
        return Scope(filters=filters)
    if name not in NAMED_DAYS:
        raise BadScope(f"period={name!r}: allowed are {', '.join([*NAMED_DAYS, ALL])}, or from and to")
    today = trading_day(now)
    period = Period(first=today - timedelta(days=NAMED_DAYS[name] - 1), last=today)
    return Scope(period=period, filters=filters, period_name=name)


def _text(name: str, asked: Mapping[str, str]) -> str | None:
    text = asked.get(name) or None
    # As they are kept, however somebody types them.
    return text.upper() if text and name == "symbol" else text


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadScope(f"{name}={text}: must be a day such as 2025-11-03") from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=TRADING_ZONE).astimezone(UTC)
