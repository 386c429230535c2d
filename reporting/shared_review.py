"""The order review as everybody looks at it: built and rendered once for each version of its orders.

Every change of an order leaves a mark on its day, until the day is summed up and the mark counted there: how many
changes there ever were is a version that no decision leaves as it was, and that summing up does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Sum, Value
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from emo_site.db.keyset import Place
from orders.choices import OrderStatus
from orders.models import OrderDayChange, OrderFacts, StagedOrder
from reporting import order_scope
from reporting.choices import SummaryOf, SummaryUnit
from reporting.models import OrderSummary
from reporting.order_report import OrderReview
from reporting.order_review import build_page
from reporting.order_scope import Scope

KEPT = 32


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """`body` is the HTML of everything that is the same for all viewers."""

    report: OrderReview
    body: SafeString


class SharedReviews:
    """Keeps the KEPT that were asked for last, each until its orders change or a minute is over: what is open past its
    expiry hangs on the time too. One is made at a time, so that many viewers don't add a million orders up at once.
    """

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._keeping = threading.Lock()
        self._kept: OrderedDict[Any, tuple[Any, Rendered]] = OrderedDict()

    def current(self, scope: Scope, now: datetime, place: Place | None = None) -> Rendered:
        """Raises DatabaseError."""
        scope = scope.with_reviewer()
        key = (scope, place, now.replace(second=0, microsecond=0))
        # One server for both: the version of one says nothing of another that is behind.
        using = OrderFacts.objects.all().db
        if (known := self._known(key, version(scope, using))) is not None:
            return known
        with self._making:
            # Asked again: whoever made one before may have made this. Read before the orders are, it is never newer.
            read = version(scope, using)
            if (known := self._known(key, read)) is not None:
                return known
            made = _made(scope, now, place, using)
            self._keep(key, read, made)
        return made

    def _known(self, key: Any, wanted: Any) -> Rendered | None:
        with self._keeping:
            found = self._kept.get(key)
            if found is None or found[0] != wanted:
                return None
            self._kept.move_to_end(key)
            return found[1]

    def _keep(self, key: Any, read: Any, made: Rendered) -> None:
        with self._keeping:
            self._kept[key] = (read, made)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)


def version(scope: Scope, using: str) -> tuple[int, bool]:
    """Changes of the days, of the period before too, and whether there are made-up orders anywhere; two queries."""
    folded = OrderSummary.objects.using(using).filter(unit=SummaryUnit.DAY, of=SummaryOf.ALL)
    waiting = OrderDayChange.objects.using(using)
    if scope.period:
        first, last = (scope.period.before or scope.period).first, scope.period.last
        folded, waiting = folded.filter(first__range=(first, last)), waiting.filter(day__range=(first, last))
    # One statement: a mark that is counted in a summary between two would be counted in both, or in none.
    known = folded.order_by().values(part=Value(1)).annotate(n=Sum("changes"))
    rows = known.union(waiting.order_by().values(part=Value(2)).annotate(n=Count("*")), all=True)
    return sum(int(row["n"] or 0) for row in rows), StagedOrder.objects.using(using).demo().exists()


def _made(scope: Scope, now: datetime, place: Place | None, using: str) -> Rendered:
    report, page = build_page(scope, now, older_than=place, using=using)
    query = urlencode(scope.query)
    body = render_to_string(
        "reports/_order_review.html",
        {
            "report": report,
            "scope": scope,
            "periods": order_scope.PERIODS,
            "statuses": OrderStatus.choices,
            "query": query,
            "older_query": f"{query}&{urlencode({'older': page.older.text})}" if page.older else "",
            "newer_query": query if place else "",
        },
    )
    return Rendered(report=report, body=body)
