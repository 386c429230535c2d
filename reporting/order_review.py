"""The order review: gathers and adds up orders, from the database or as dictionaries, as of one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.urls import reverse

from emo_site.db.keyset import Place, Window
from emo_site.db.snapshot import snapshot
from orders.models import OrderFacts, StagedOrder, UnmatchedFill
from orders.querysets import StagedOrderQuerySet
from reporting import order_dictionaries, order_report, order_sums, order_table, order_tally, order_totals, rendering
from reporting.order_report import Around, OrderReview
from reporting.order_scope import ALL, BadScope, Filters, Period, Scope
from reporting.order_tally import Tally

Orders = QuerySet[StagedOrder] | QuerySet[OrderFacts] | Iterable[Mapping[str, Any]]

PLACE = "reports/order_review"
# The sums, what is overdue, the names of people and of orders that stand out, fills without an order, whether there is
# a demo, and the newest orders.
QUERIES = {vendor: n + 7 for vendor, n in order_sums.QUERIES.items()}

# By how much the clocks of a desk's machines may differ; its own probe tells of far less.
_SKEW = timedelta(minutes=5)


def analyze_orders(orders: Orders, *, now: datetime | None = None) -> OrderReview:
    """The review of these orders, as they are at `now` (None: this moment).

    A queryset is added up by the database, in QUERIES statements that see the same moment: of all orders or of facts at
    once, any other queryset of orders by looking its facts up. Dictionaries (see order_dictionaries.py) come to the
    same; one that can't be read is named in `bad`, and is in no figure. Raises TypeError for a queryset of something
    else, and BadScope where one of the orders is younger than `now`.
    """
    at = datetime.now(UTC) if now is None else now
    if isinstance(orders, QuerySet):
        return _checked(_of_queryset(orders, _aware(at)), now)
    taken = order_dictionaries.take(orders)
    facts = {row["order"]: row for row in taken.facts}
    return order_report.report(
        replace(order_tally.tally(taken.facts), overdue=order_tally.overdue(taken.facts, _aware(at))),
        Around(
            as_of=at,
            environment=settings.EMO_ENV,
            filters={},
            link=_nowhere,
            link_of=_nowhere,
            link_before=_nowhere,
            link_of_day=_nowhere,
            order_url=_nowhere,
            labels={key: f"orders[{key}], {row['underlying']}" for key, row in facts.items()},
            names={row["reviewer"]: row["reviewer"] for row in taken.facts},
            bad=taken.bad,
        ),
    )


def build(*, now: datetime, orders: StagedOrderQuerySet | None = None) -> OrderReview:
    """The review of all orders, or of these."""
    return _of_queryset(StagedOrder.objects.all() if orders is None else orders, now)


def build_order_review(
    period: Period | None, filters: Filters, as_of: datetime, *, period_name: str = "", older_than: Place | None = None
) -> OrderReview:
    """The review of the orders staged in the period (None: ever) that the filters let through, compared with as many
    days before. `older_than` is where the page of single orders begins. Raises BadScope where one of them is younger
    than `as_of`: orders are reviewed as they are, and what they were then is not known here.
    """
    scope = Scope(period=period, filters=filters, period_name=period_name if period else ALL)
    return _checked(build_page(scope, _aware(as_of), older_than=older_than)[0], as_of)


def build_page(
    scope: Scope, as_of: datetime, *, older_than: Place | None = None, using: str | None = None
) -> tuple[OrderReview, Window]:
    """The review, and its page of single orders with the places of the newer and older ones; all read from one server,
    `using` or the one that reports are to be read from, and of one moment.
    """
    using = using or OrderFacts.objects.all().db
    # What summaries don't know is added up from facts, which on many orders takes long.
    with snapshot(using, two=not scope.is_summed) as beside:
        scope = scope.with_reviewer()
        tally = order_totals.tally(scope, using, now=as_of, beside=beside)
        before = scope.before
        earlier = None if before is None else order_totals.sums(before, using)
        orders = StagedOrder.objects.using(using)
        window = order_table.newest(scope.orders(orders.all()), older_than)
        around = _around(tally, orders.all(), window, scope, as_of)
    return order_report.report(tally, replace(around, before=earlier)), window


def render(review: OrderReview) -> str:
    """One HTML file that needs nothing else."""
    return rendering.html_file(review)


def save_report(orders: Orders, *, now: datetime | None = None) -> Path:
    """Writes the review of these orders as one HTML file below the data folder; returns its path. Raises OSError."""
    review = analyze_orders(orders, now=now)
    path = Path(settings.EMO_DATA_DIR) / f"{PLACE}_{review.as_of.astimezone(UTC):%Y%m%d_%H%M%S}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    rendering.write(path, render(review))
    return path


def _of_queryset(queryset: QuerySet[Any], now: datetime) -> OrderReview:
    if queryset.model not in (StagedOrder, OrderFacts):
        raise TypeError(f"orders: a queryset of {queryset.model.__name__}, must be of StagedOrder or OrderFacts")
    if queryset.query.combinator:
        raise TypeError(f"orders: made by {queryset.query.combinator}(), which can't be narrowed; combine with | and &")
    # One place for all of it: inside the transaction of another database a replica is not read.
    using = queryset.db
    orders = StagedOrder.objects.using(using)
    facts = OrderFacts.objects.using(using)
    if queryset.model is OrderFacts:
        facts = queryset.using(using)
        orders = orders.filter(facts__in=facts) if _is_narrowed(queryset) else orders.all()
    elif _is_narrowed(queryset):
        # By their keys: a queryset that was cut to some rows takes no further filter.
        orders = orders.filter(pk__in=queryset.using(using).values("pk"))
        facts = facts.filter(order__in=queryset.using(using).values("pk"))
    with snapshot(using, two=True) as beside:
        found = order_sums.tally(facts.all(), beside=beside)
        tally = replace(found, overdue=order_sums.overdue(facts.all(), now=now))
        window = order_table.newest(orders.all())
        around = _around(tally, orders.all(), window, Scope(), now)
    return order_report.report(tally, around)


def _aware(as_of: datetime) -> datetime:
    if as_of.tzinfo is None:
        raise BadScope(f"as_of={as_of}: must say its time zone")
    return as_of


def _checked(review: OrderReview, as_of: datetime | None) -> OrderReview:
    """The review, unless it was asked for as of a moment (None: of now) at which its newest order was not there."""
    newest = next(iter(review.recent_orders), None)
    if as_of is not None and newest is not None and newest.created_at > as_of + _SKEW:
        raise BadScope(
            f"as_of={as_of.isoformat()}: order {newest.client_order_id} was staged afterwards, at"
            f" {newest.created_at.isoformat()}, and a review shows orders as they are, not as they were"
        )
    return review


def _is_narrowed(queryset: QuerySet[Any]) -> bool:
    return bool(queryset.query.where) or queryset.query.is_sliced


def _around(tally: Tally, orders: QuerySet[Any], window: Window, scope: Scope, now: datetime) -> Around:
    standing_out = {key for _, key in (*tally.cheapest, *tally.dearest)} | set(tally.odd)
    every = StagedOrder.objects.using(orders.db)
    found = every.with_people().defer("workflow_state", "metadata").in_bulk(list(standing_out))
    named = {*tally.reviewers, *tally.refusals, *(giver for _, giver in tally.overrides)}
    people = User.objects.using(orders.db).filter(pk__in=list(named))
    waiting_fills = UnmatchedFill.objects.using(orders.db).filter(matched_to=None).count()
    period = scope.period
    return Around(
        as_of=now,
        environment=settings.EMO_ENV,
        demo=every.demo().exists(),
        period=(period.first, period.last) if period else None,
        filters=scope.filters.chosen,
        link=scope.link,
        link_of=scope.link_of,
        link_before=scope.before.link if scope.before else _nowhere,
        link_of_day=lambda day: scope.of_day(day).link(),
        order_url=order_table.url_of,
        unmatched=waiting_fills,
        unmatched_url=reverse("admin:orders_unmatchedfill_changelist"),
        labels={key: str(order) for key, order in found.items()},
        names=dict(people.values_list("pk", "username")),
        exceptional=order_table.rows((found[key] for key in tally.odd), now),
        recent=order_table.rows(window.rows, now),
    )


def _nowhere(*_: Any, **__: Any) -> str:
    return ""
