"""The pages on strategies: parse, build, render."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emo_site.db.keyset import BadPlace
from emo_site.outages import reads_from_replica
from reporting import page_answers, rendering, strategy_export, strategy_scope
from reporting.order_scope import BadScope
from reporting.strategy_cache import Rendered, SharedStrategies
from reporting.strategy_report import UnknownStrategy, trips_within
from reporting.strategy_scope import SheetScope
from reporting.strategy_sheet import StrategySheet

_shared = SharedStrategies()
_FORMATS = (page_answers.PAGE, page_answers.FILE, "json", "csv")


@require_safe
@reads_from_replica
@login_required
@never_cache
def strategies(request: HttpRequest) -> HttpResponse:
    now = datetime.now(UTC)
    try:
        page_answers.check_names(request.GET, (*strategy_scope.ASKED, "format"))
        scope, sort = strategy_scope.parse(request.GET), strategy_scope.parse_sort(request.GET)
        wanted = page_answers.wanted(request, _FORMATS)
    except BadScope as error:
        return page_answers.refused(request, error)
    found = _shared.comparison(scope, sort, now)
    if wanted == page_answers.PAGE:
        return _page(request, found)
    page_answers.record(request, f"strategies report, {wanted}", scope.query, rows=0, now=now)
    if wanted == "csv":
        return page_answers.attachment(strategy_export.comparison_csv(found.report), "strategies", "csv", now)
    return _report(found, wanted, now)


@require_safe
@reads_from_replica
@login_required
@never_cache
def strategy(request: HttpRequest, name: str) -> HttpResponse:
    now = datetime.now(UTC)
    try:
        page_answers.check_names(request.GET, (*strategy_scope.ASKED_OF_ONE, "older", "format", "of"))
        asked, wanted = strategy_scope.parse_sheet(request.GET, name), page_answers.wanted(request, _FORMATS)
        of = _rows_wanted(request)
        found = _shared.sheet(asked, now)
    except (BadScope, BadPlace) as error:
        return page_answers.refused(request, error)
    except UnknownStrategy as error:
        raise Http404(str(error)) from error
    if wanted == page_answers.PAGE:
        return _page(request, found)
    report = found.report
    what = f"strategy {asked.strategy or 'none stated'}, {wanted}"
    if wanted != "csv":
        page_answers.record(request, what, asked.query, rows=len(report.trades.rows), now=now)
        return _report(found, wanted, now)
    rows = report.trades.total if of == "trades" else 0
    page_answers.record(request, f"{what} of {of}", asked.query, rows=rows, now=now)
    return page_answers.attachment(_sheet_csv(report, asked, of, now), f"strategy_{of}", "csv", now)


def _sheet_csv(report: StrategySheet, asked: SheetScope, of: str, now: datetime) -> str:
    if of == strategy_export.DAYS:
        return strategy_export.days_csv(report)
    trips = _shared.trips(asked.scope.environment, asked.strategy, now)
    return strategy_export.trades_csv(trips_within(trips, asked.scope))


def _rows_wanted(request: HttpRequest) -> str:
    of = request.GET.get("of", strategy_export.TRADES)
    if of not in (strategy_export.TRADES, strategy_export.DAYS):
        raise BadScope(f"of={of!r}: allowed are trades and days")
    return of


def _page(request: HttpRequest, found: Rendered[Any]) -> HttpResponse:
    return render(request, rendering.template_of(found.report), {"report": found.report, "body": found.body})


def _report(found: Rendered[Any], wanted: str, now: datetime) -> HttpResponse:
    if wanted == page_answers.FILE:
        return page_answers.file(found.report, now)
    return HttpResponse(rendering.json_text(found.report), content_type="application/json")
