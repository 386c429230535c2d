"""Which strategies a page is about, as its address says: environment, days, order of rows, and what to set beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from django.urls import reverse

from emo_site.db.fields import current_environment
from emo_site.db.keyset import Place
from reporting.order_scope import BadScope
from reporting.strategy_comparison import COLUMNS, Sort

# What an address says for the strategy of orders that state none.
NONE_STATED = "-"
_LONGEST = 64
# What an address may say: of the comparison, and of a sheet.
ASKED = ("environment", "from", "to", "sort")
ASKED_OF_ONE = ("environment", "from", "to", "benchmark", "compare")


@dataclass(frozen=True, kw_only=True)
class StrategyScope:
    """Days of New York, both included; None: from the first, up to the last."""

    environment: str
    first: date | None = None
    last: date | None = None

    @property
    def query(self) -> dict[str, str]:
        """What an address says to come to the same."""
        found = {} if self.environment == current_environment() else {"environment": self.environment}
        if self.first is not None:
            found["from"] = self.first.isoformat()
        if self.last is not None:
            found["to"] = self.last.isoformat()
        return found

    def link(self, strategy: str) -> str:
        """The tear sheet of one of them, over the same days."""
        query = urlencode(self.query)
        path = reverse("reporting:strategy", args=[strategy or NONE_STATED])
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, kw_only=True)
class SheetScope:
    """One strategy of a scope; `older` is where the page of trades begins."""

    scope: StrategyScope
    strategy: str
    benchmark: str | None = None
    compare: str | None = None
    older: Place | None = None

    @property
    def query(self) -> dict[str, str]:
        """But for the page of trades."""
        found = dict(self.scope.query)
        if self.benchmark is not None:
            found["benchmark"] = self.benchmark
        if self.compare is not None:
            found["compare"] = self.compare
        return found


def parse(asked: Mapping[str, str]) -> StrategyScope:
    """Raises BadScope."""
    first, last = _day(asked, "from"), _day(asked, "to")
    if first is not None and last is not None and last < first:
        raise BadScope(f"to={last}: must not be before from={first}")
    return StrategyScope(environment=_text(asked, "environment") or current_environment(), first=first, last=last)


def parse_sheet(asked: Mapping[str, str], name: str) -> SheetScope:
    """Raises BadScope, BadPlace."""
    scope, compare = parse(asked), _text(asked, "compare")
    if compare == scope.environment:
        raise BadScope(f"compare={compare}: must be another environment than the page's own")
    return SheetScope(
        scope=scope,
        strategy="" if name == NONE_STATED else name,
        benchmark=_text(asked, "benchmark"),
        compare=compare,
        older=Place.parse("older", asked["older"]) if asked.get("older") else None,
    )


def parse_sort(asked: Mapping[str, str]) -> Sort:
    """Raises BadScope."""
    text = asked.get("sort")
    if not text:
        return Sort()
    key = text.removeprefix("-")
    allowed = [column.key for column in COLUMNS]
    if key not in allowed:
        raise BadScope(
            f"sort={text[:_LONGEST]!r}: allowed are {', '.join(allowed)}, each with - before it for descending"
        )
    return Sort(key=key, descending=text.startswith("-"))


def _day(asked: Mapping[str, str], name: str) -> date | None:
    text = asked.get(name)
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError as error:
        raise BadScope(f"{name}={text[:_LONGEST]}: must be a day such as 2025-11-03") from error
    if not 1980 < found.year < 2100:
        raise BadScope(f"{name}={text}: must be a day from 1981 to 2099")
    return found


def _text(asked: Mapping[str, str], name: str) -> str | None:
    value = asked.get(name)
    if not value:
        return None
    if len(value) > _LONGEST or "\0" in value:
        raise BadScope(f"{name}={value[:_LONGEST]!r}: at most {_LONGEST} characters, none of them NUL")
    return value
