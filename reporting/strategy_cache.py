"""Pages on strategies as everybody looks at them: built and rendered once for each version of what they tell."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlencode

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from reporting import deals, strategy_report, strategy_rows
from reporting.models import StrategyPerformance
from reporting.strategy_comparison import COLUMNS, Sort, StrategyComparison, in_order
from reporting.strategy_scope import SheetScope, StrategyScope
from reporting.strategy_sheet import StrategySheet
from reporting.trades import RoundTrip

KEPT = 32

_Made = TypeVar("_Made")
_Report = TypeVar("_Report", StrategyComparison, StrategySheet)


@dataclass(frozen=True, kw_only=True)
class Rendered(Generic[_Report]):
    """`body` is the HTML of everything that is the same for all viewers."""

    report: _Report
    body: SafeString


@dataclass(frozen=True, kw_only=True)
class SortLink:
    """A heading of the comparison: where it leads, and how the rows are ordered by it now ("" where they are not)."""

    label: str
    title: str
    query: str
    aria: str
    is_number: bool


class SharedStrategies:
    """Keeps the KEPT that were asked for last, each until an order's step or a roll-up, or until a minute is over:
    a day that was priced anew leaves no other trace. One is made at a time; who asks for a kept one does not wait.
    """

    def __init__(self) -> None:
        # Who makes a sheet makes its trades too.
        self._making = threading.RLock()
        self._keeping = threading.Lock()
        self._kept: OrderedDict[Any, tuple[Any, Any]] = OrderedDict()

    def comparison(self, scope: StrategyScope, sort: Sort, now: datetime) -> Rendered[StrategyComparison]:
        """Raises DatabaseError."""
        version = _version(now)
        report = self._kept_or_made(scope, version, lambda: strategy_report.build_comparison(scope, now=now))
        return self._kept_or_made((scope, sort), version, lambda: _comparison(in_order(report, sort), scope, sort))

    def sheet(self, asked: SheetScope, now: datetime) -> Rendered[StrategySheet]:
        """Raises UnknownStrategy, DatabaseError."""
        return self._kept_or_made(asked, _version(now), lambda: self._sheet(asked, now))

    def trips(self, environment: str, strategy: str, now: datetime) -> Sequence[RoundTrip]:
        """All that ended. Raises DatabaseError."""
        version = (deals.on_record(strategy, environment=environment), strategy_rows.roll_ups())
        return self._kept_or_made(
            ("trips", environment, strategy),
            version,
            lambda: strategy_report.closed_trips(environment, strategy, now=now),
        )

    def _sheet(self, asked: SheetScope, now: datetime) -> Rendered[StrategySheet]:
        trips = self.trips(asked.scope.environment, asked.strategy, now)
        report = strategy_report.build_sheet(asked, trips=trips, now=now)
        return Rendered(report=report, body=_rendered_sheet(report, asked))

    def _kept_or_made(self, key: Any, version: Any, make: Callable[[], _Made]) -> _Made:
        """The version was read before what is made of it: it is never newer."""
        if (known := self._known(key, version)) is not None:
            return cast(_Made, known)
        with self._making:
            # Asked again: whoever made one before may have made this.
            if (known := self._known(key, version)) is not None:
                return cast(_Made, known)
            made = make()
            self._keep(key, version, made)
        return made

    def _known(self, key: Any, version: Any) -> Any:
        with self._keeping:
            found = self._kept.get(key)
            if found is None or found[0] != version:
                return None
            self._kept.move_to_end(key)
            return found[1]

    def _keep(self, key: Any, version: Any, made: Any) -> None:
        with self._keeping:
            self._kept[key] = (version, made)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)


def _version(now: datetime) -> Any:
    # One server for both: the version of one says nothing of another that is behind.
    using = StrategyPerformance.objects.all().db
    return using, now.replace(second=0, microsecond=0), strategy_rows.roll_ups(), strategy_rows.newest_event()


def _comparison(report: StrategyComparison, scope: StrategyScope, sort: Sort) -> Rendered[StrategyComparison]:
    body = render_to_string(
        "reports/_strategies.html",
        {
            "report": report,
            "scope": scope,
            "sort": sort,
            "columns": headings(scope, sort),
            "environments": _environments(scope),
            "query": urlencode(scope.query),
        },
    )
    return Rendered(report=report, body=body)


def _rendered_sheet(report: StrategySheet, asked: SheetScope) -> SafeString:
    older, query = report.trades.older, urlencode(asked.query)
    return render_to_string(
        "reports/_strategy.html",
        {
            "report": report,
            "asked": asked,
            "environments": _environments(asked.scope),
            "query": query,
            "list_query": urlencode(asked.scope.query),
            "older_query": urlencode({**asked.query, "older": older.text}) if older else "",
            "newer_query": query if report.trades.newer else "",
        },
    )


def _environments(scope: StrategyScope) -> list[str]:
    return sorted({*strategy_rows.environments(), scope.environment})


def headings(scope: StrategyScope, sort: Sort) -> list[SortLink]:
    """A second click turns the order around; numbers begin with the largest, names with the first."""
    found = []
    for column in COLUMNS:
        is_it, is_number = column.key == sort.key, column.name != ""
        turned = Sort(key=column.key, descending=not sort.descending if is_it else is_number)
        found.append(
            SortLink(
                label=column.label,
                title=column.title,
                query=urlencode({**scope.query, "sort": turned.text}),
                aria=("descending" if sort.descending else "ascending") if is_it else "",
                is_number=is_number,
            )
        )
    return found
