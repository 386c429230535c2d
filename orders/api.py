"""The orders' part of the HTTP API: parses, calls the workflow once, tells what became of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query

from emo_site.api import cursor
from emo_site.api.answers import Answer, answer, response
from emo_site.api.caller import ApiRequest, Caller
from emo_site.api.problems import bad_field
from emo_site.api.routes import Routes
from emo_site.api.scopes import Scope
from emo_site.db.keyset import BadPlace
from emo_site.db.selective import matching
from emo_site.logs.context import name_order
from emo_site.problem import Problem
from orders import access, api_refusals, workflow
from orders.api_order import (
    AcknowledgementBody,
    Assessed,
    BustBody,
    CancelBody,
    CorrectionBody,
    FillBody,
    Order,
    OrderBody,
    OrderFilter,
    OrderList,
    OrdersBody,
    ReasonBody,
    told,
)
from orders.choices import OrderStatus
from orders.context import Question
from orders.entitlement import require
from orders.judgement import judge
from orders.models import ExecutedOrder, StagedOrder
from orders.refusal import Refused
from orders.steps import unknown

LARGEST_BULK = 2 * 1024 * 1024
STAGES = ("orders.add_stagedorder", "stage orders")
SEES = ("orders.view_stagedorder", "see orders")
_TAG = re.compile(r'"([0-9]{1,9})"')

routes = Routes(tags=["orders"])


# ---- staging ---------------------------------------------------------------------------------------------------------


@routes.write("/orders", scope=Scope.STAGE, answers=Order, status=201)
def stage_order(request: ApiRequest, body: OrderBody) -> Answer:
    """Stages an order: judged at once, it waits for review, or is blocked and says by which rules."""
    return _staged(request, body)


@routes.write_each("/orders/bulk", scope=Scope.STAGE, largest=LARGEST_BULK)
def stage_orders(request: ApiRequest, body: OrdersBody) -> Iterable[Callable[[], Answer]]:
    """Stages up to 100 orders, each by itself: one that is refused does not hold the others up."""
    return [partial(_staged, request, each) for each in body.orders]


@routes.ask("/orders/assess", scope=Scope.READ, answers=Assessed)
def assess_order(request: ApiRequest, body: OrderBody) -> HttpResponse:
    """What the rules would say of an order now. Nothing is written."""
    caller = request.auth
    require(caller.user, *STAGES)
    _check_strategy(caller, body.strategy)
    question = Question(ticket=body.ticket(), created_by=caller.user.get_username())
    judgement = judge(question, now=caller.at)
    status = OrderStatus.BLOCKED if judgement.blocks else OrderStatus.PENDING_REVIEW
    return response(answer(Assessed(status=status, assessment=judgement.as_json())))


def _staged(request: ApiRequest, body: OrderBody) -> Answer:
    caller = request.auth
    require(caller.user, *STAGES)
    _check_strategy(caller, body.strategy)
    order = workflow.stage(body.ticket(), created_by=caller.user, now=caller.at)
    name_order(request, order.pk)
    return _told(order, status=201, headers={"Location": f"/api/v1/orders/{order.pk}"})


# ---- reading ---------------------------------------------------------------------------------------------------------


@routes.read("/orders/{uuid:order_id}", scope=Scope.READ, answers=Order, cached=True)
def get_order(request: ApiRequest, order_id: UUID) -> HttpResponse:
    """One order with its legs and fills."""
    caller = request.auth
    require(caller.user, *SEES)
    name_order(request, order_id)
    order = _complete(_visible(caller).filter(pk=order_id)).first()
    if order is None:
        raise unknown(order_id)
    if _tag(order) in _tags(request, "If-None-Match"):
        # They are shown nothing that they have not seen.
        return HttpResponse(status=304, headers={"ETag": _tag(order)})
    access.record_view(order, actor=caller.user, what="API", now=caller.at)
    return response(answer(told(order, fills=order.executions.all()), headers={"ETag": _tag(order)}))


@routes.read("/orders", scope=Scope.READ, answers=OrderList)
def list_orders(request: ApiRequest, filters: Query[OrderFilter]) -> HttpResponse:
    """Orders, newest first, a page at a time."""
    caller = request.auth
    require(caller.user, *SEES)
    if filters.environment is not None and filters.environment != caller.environment:
        raise bad_field("environment", filters.environment, f"the token is for {caller.environment}")
    found = list(_complete(_filtered(_visible(caller), filters))[: filters.limit + 1])
    page = found[: filters.limit]
    following = cursor.text(page[-1].created_at, page[-1].pk) if len(found) > filters.limit else None
    what = f"API orders?{urlencode(filters.model_dump(exclude_none=True, exclude_defaults=True, mode='json'))}"
    access.record_export(actor=caller.user, what=what, row_count=len(page), now=caller.at)
    return response(
        answer(OrderList(orders=[told(each, fills=each.executions.all()) for each in page], next=following))
    )


def _visible(caller: Caller) -> QuerySet[StagedOrder]:
    orders = StagedOrder.objects.filter(environment=caller.environment)
    return orders.filter(strategy__in=caller.strategies) if caller.strategies else orders


def _complete(orders: QuerySet[StagedOrder]) -> QuerySet[StagedOrder]:
    fills = ExecutedOrder.objects.select_related("leg", "corrects").order_by("recorded_at", "id")
    people = orders.select_related("created_by", "reviewed_by")
    hidden = people.defer("created_by__password", "reviewed_by__password")
    return hidden.prefetch_related("legs", Prefetch("executions", queryset=fills))


def _filtered(orders: QuerySet[StagedOrder], filters: OrderFilter) -> QuerySet[StagedOrder]:
    same = {
        "strategy": None if filters.strategy is None else filters.strategy.lower(),
        "underlying": None if filters.symbol is None else filters.symbol.upper(),
        "client_order_id": filters.client_order_id,
        "created_at__gte": filters.created_from,
        "created_at__lt": filters.created_to,
    }
    found = orders.filter(**{name: value for name, value in same.items() if value is not None})
    if filters.status is not None:
        found = matching(found, "status", [filters.status])
    if filters.cursor is not None:
        found = found.filter(_after(filters.cursor))
    return found.order_by("-created_at", "-id")


def _after(text: str) -> Q:
    try:
        place = cursor.parse(text)
    except BadPlace as error:
        raise bad_field("cursor", text, str(error)) from error
    return Q(created_at__lte=place.at) & (Q(created_at__lt=place.at) | Q(id__lt=place.id))


# ---- decisions -------------------------------------------------------------------------------------------------------


@routes.write("/orders/{uuid:order_id}/cancel", scope=Scope.STAGE, answers=Order, precondition=True)
def cancel_order(request: ApiRequest, order_id: UUID, body: CancelBody) -> Answer:
    """Withdraws an open order."""
    with _about(request, order_id) as expected:
        return _told(
            workflow.cancel(
                order_id,
                actor=request.auth.user,
                now=request.auth.at,
                reason=body.reason,
                expected_events=expected,
            )
        )


@routes.write("/orders/{uuid:order_id}/submit", scope=Scope.EXECUTE, answers=Order, precondition=True)
def submit_order(request: ApiRequest, order_id: UUID) -> Answer:
    """Marks an approved order as handed to the broker: only then may it be sent there. Judged once more, it goes back
    to review where its approval does not hold any more (409, RETURNED_TO_REVIEW).
    """
    with _about(request, order_id) as expected:
        return _told(workflow.submit(order_id, actor=request.auth.user, now=request.auth.at, expected_events=expected))


@routes.write("/orders/{uuid:order_id}/acknowledge", scope=Scope.EXECUTE, answers=Order, precondition=True)
def acknowledge_order(request: ApiRequest, order_id: UUID, body: AcknowledgementBody) -> Answer:
    """The broker has a submitted order, under that id; the order stays what it is. Once more changes nothing."""
    with _about(request, order_id) as expected:
        return _told(
            workflow.acknowledge(
                order_id,
                actor=request.auth.user,
                now=request.auth.at,
                broker_order_id=body.broker_order_id,
                expected_events=expected,
            )
        )


@routes.write("/orders/{uuid:order_id}/broker-reject", scope=Scope.EXECUTE, answers=Order, precondition=True)
def broker_reject_order(request: ApiRequest, order_id: UUID, body: ReasonBody) -> Answer:
    """The broker refused a submitted order."""
    with _about(request, order_id) as expected:
        return _told(
            workflow.broker_reject(
                order_id,
                actor=request.auth.user,
                now=request.auth.at,
                reason=body.reason,
                expected_events=expected,
            )
        )


# ---- fills -----------------------------------------------------------------------------------------------------------


@routes.write("/orders/{uuid:order_id}/fills", scope=Scope.EXECUTE, answers=Order, status=201)
def report_fill(request: ApiRequest, order_id: UUID, body: FillBody) -> Answer:
    """Books a fill once, by its execution_id. One that raced a cancel is booked, too."""
    with _about(request, order_id):
        row = workflow.record_execution(order_id, body.fill(), actor=request.auth.user, now=request.auth.at)
        return _told(row.staged_order, status=201)


@routes.write("/fills/{path:execution_id}/correct", scope=Scope.EXECUTE, answers=Order, status=201)
def correct_fill(request: ApiRequest, execution_id: str, body: CorrectionBody) -> Answer:
    """The broker puts a fill right: another row takes its place, and it stays as it was."""
    with _about(request, _order_of_fill(execution_id)):
        row = workflow.correct_execution(
            execution_id, body.fill(), actor=request.auth.user, now=request.auth.at, reason=body.reason
        )
        return _told(row.staged_order, status=201)


@routes.write("/fills/{path:execution_id}/bust", scope=Scope.EXECUTE, answers=Order, status=201)
def bust_fill(request: ApiRequest, execution_id: str, body: BustBody) -> Answer:
    """The broker takes a fill back."""
    with _about(request, _order_of_fill(execution_id)):
        row = workflow.bust_execution(
            execution_id, bust_id=body.bust_id, actor=request.auth.user, now=request.auth.at, reason=body.reason
        )
        return _told(row.staged_order, status=201)


def _order_of_fill(execution_id: str) -> UUID:
    fill = ExecutedOrder.objects.filter(execution_id=execution_id).values_list("staged_order_id", flat=True).first()
    if fill is None:
        raise _unknown_fill(execution_id)
    return fill


def _unknown_fill(execution_id: str) -> Refused:
    return Refused("UNKNOWN_EXECUTION", f"There is no fill with execution_id={execution_id!r}.")


# ---- the parts of the above ------------------------------------------------------------------------------------------


@contextmanager
def _about(request: ApiRequest, order_id: UUID) -> Iterator[int | None]:
    """A change of an order that the caller may see. Gives the number of events that they say they have seen."""
    name_order(request, order_id)
    if not _visible(request.auth).filter(pk=order_id).exists():
        raise unknown(order_id)
    expected = _expected(request)
    try:
        yield expected
    except Refused as refused:
        if expected is not None and refused.code == api_refusals.CHANGED:
            raise Problem(412, refused.code, str(refused)) from refused
        raise


def _expected(request: HttpRequest) -> int | None:
    given = request.headers.get("If-Match")
    if given is None or given == "*":
        return None
    found = _TAG.fullmatch(given)
    if found is None:
        raise bad_field("If-Match", given, 'must be one ETag of an order, such as "7", or *', status=400)
    return int(found[1])


def _tags(request: HttpRequest, header: str) -> list[str]:
    return [tag.strip() for tag in request.headers.get(header, "").split(",") if tag.strip()]


def _tag(order: StagedOrder) -> str:
    return f'"{order.event_count}"'


def _told(order: StagedOrder, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    # Its legs and people as the workflow has them are those that it had.
    fills = ExecutedOrder.objects.select_related("leg", "corrects").filter(staged_order=order)
    return answer(
        told(order, fills=fills.order_by("recorded_at", "id")),
        status=status,
        headers={"ETag": _tag(order), **(headers or {})},
        order_id=order.pk,
        event=order.event_count,
    )


def _check_strategy(caller: Caller, strategy: str) -> None:
    if not caller.may_act_for(strategy):
        allowed = ", ".join(caller.strategies)
        raise Refused("STRATEGY_NOT_ALLOWED", f"strategy={strategy!r}: the token is for {allowed} only.")
