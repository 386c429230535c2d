"""The reports over HTTP: the documents that the pages give with ?format=json, of the token's environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from django.http import HttpResponse
from ninja import Query
from pydantic import BaseModel, Field

from emo_site.api.caller import ApiRequest
from emo_site.api.problems import problem_of
from emo_site.api.routes import Routes
from emo_site.api.scopes import Scope
from emo_site.db.keyset import BadPlace, Place
from emo_site.outages import reads_from_replica
from emo_site.problem import Problem
from monitoring import health
from orders import access
from orders.api_reach import require_all_strategies, require_strategy
from orders.moments import InvalidMoment, moment
from reporting import health_report, order_scope, rendering, strategy_scope
from reporting.order_scope import BadScope
from reporting.rendering import Report
from reporting.shared_report import SharedReport
from reporting.shared_review import SharedReviews
from reporting.strategy_cache import SharedStrategies
from reporting.strategy_report import UnknownStrategy

routes = Routes(tags=["reports"])

# Many programs, one probe run and one report.
_system = SharedReport(health.SharedRun(max_age=5.0))
_reviews = SharedReviews()
_strategies = SharedStrategies()

Document = dict[str, Any]
Text = Annotated[str | None, Field(max_length=150)]


class Days(BaseModel):
    """Days of New York, both included."""

    first: Annotated[str | None, Field(alias="from", max_length=32)] = None
    to: Text = None

    @property
    def given(self) -> dict[str, str]:
        """As the address of a page says it."""
        return self.model_dump(by_alias=True, exclude_none=True)


class ReviewFilter(Days):
    """`period`: 1d, 7d, 30d, 90d, 365d or all, instead of days. `older`: where the list of single orders begins."""

    period: Text = None
    strategy: Text = None
    symbol: Text = None
    status: Text = None
    reviewer: Text = None
    older: Text = None


class ComparisonFilter(Days):
    """`sort`: a column, with - before it for descending."""

    sort: Text = None


class SheetFilter(Days):
    """`benchmark`: a symbol. `older`: where the list of trades begins."""

    benchmark: Text = None
    older: Text = None


@routes.read("/reports/orders", scope=Scope.READ, answers=Document)
@reads_from_replica
def get_orders_report(request: ApiRequest, filters: Query[ReviewFilter]) -> HttpResponse:
    """The order review of a period and of what the filters let through."""
    caller = request.auth
    require_strategy(caller, filters.strategy)
    scope = order_scope.parse({**filters.given, "environment": caller.environment}, now=caller.at)
    place = Place.parse("older", filters.older) if filters.older else None
    return _exported(request, _reviews.current(scope, caller.at, place).report, "orders report", scope.query)


@routes.read("/reports/system", scope=Scope.READ, answers=Document)
@reads_from_replica
def get_system_report(request: ApiRequest, at: Text = None) -> HttpResponse:
    """The institutional report: how the system is doing, now or as it was recorded `at` a time in the past."""
    caller = request.auth
    require_all_strategies(caller)
    if at is None:
        return _exported(request, _system.current().report, "institutional report", {})
    asked = moment("at", at)
    if asked > caller.at:
        raise InvalidMoment(f"at={at}: must not be in the future")
    return _exported(request, health_report.build_past(at=asked), "institutional report", {"at": at})


@routes.read("/reports/strategies", scope=Scope.READ, answers=Document)
@reads_from_replica
def get_strategies_report(request: ApiRequest, filters: Query[ComparisonFilter]) -> HttpResponse:
    """All strategies beside each other."""
    caller = request.auth
    require_all_strategies(caller)
    scope = strategy_scope.parse({**filters.given, "environment": caller.environment})
    found = _strategies.comparison(scope, strategy_scope.parse_sort(filters.given), caller.at)
    return _exported(request, found.report, "strategies report", scope.query)


@routes.read("/reports/strategies/{name}", scope=Scope.READ, answers=Document)
@reads_from_replica
def get_strategy_report(request: ApiRequest, name: str, filters: Query[SheetFilter]) -> HttpResponse:
    """One strategy; - for the orders that state none."""
    caller = request.auth
    require_strategy(caller, name)
    asked = strategy_scope.parse_sheet({**filters.given, "environment": caller.environment}, name)
    report = _strategies.sheet(asked, caller.at).report
    return _exported(request, report, f"strategy {asked.strategy or 'none stated'}", asked.query)


def _exported(request: ApiRequest, report: Report, what: str, query: Mapping[str, Any]) -> HttpResponse:
    caller = request.auth
    asked = f"?{urlencode(query)}" if query else ""
    access.record_export(
        actor=caller.user,
        what=f"{what}, json{asked}, by token {caller.token.prefix}",
        row_count=rendering.rows_of(report),
        now=caller.at,
    )
    return HttpResponse(rendering.json_text(report), content_type="application/json")


@problem_of.register
def _of_scope(error: BadScope) -> Problem:
    return Problem(422, "BAD_SCOPE", f"{error}.")


@problem_of.register
def _of_place(error: BadPlace) -> Problem:
    return Problem(422, "BAD_PLACE", f"{error}.")


@problem_of.register
def _of_moment(error: InvalidMoment) -> Problem:
    return Problem(422, "BAD_MOMENT", f"{error}.")


@problem_of.register
def _of_nobody_knows(error: UnknownStrategy) -> Problem:
    return Problem(404, "UNKNOWN_STRATEGY", f"{error}.")
