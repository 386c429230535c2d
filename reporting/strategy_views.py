"""The pages on strategies: parse, build, render."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from emo_site.db.keyset import BadPlace
from emo_site.outages import reads_from_replica
from orders import access
from reporting import rendering, strategy_export, strategy_scope
from reporting.order_scope import BadScope
from reporting.strategy_cache import Rendered, SharedStrategies
from reporting.strategy_report import UnknownStrategy, trips_within
from reporting.strategy_scope import SheetScope
from reporting.strategy_sheet import StrategySheet

_shared = SharedStrategies()
_FORMATS = ("html", "json", "csv")


@require_safe
@reads_from_replica
@login_required
@never_cache
def strategies(request: HttpRequest) -> HttpResponse:
    now = datetime.now(UTC)
    try:
        scope, sort = strategy_scope.parse(request.GET), strategy_scope.parse_sort(request.GET)
        wanted = _wanted(request)
    except BadScope as error:
        return _refused(error)
    found = _shared.comparison(scope, sort, now)
    if wanted == "html":
        return _page(request, found)
    _record(request, f"strategies report, {wanted}", scope.query, rows=0, now=now)
    if wanted == "json":
        return _json(found)
    return _csv(strategy_export.comparison_csv(found.report), "strategies", now)


@require_safe
@reads_from_replica
@login_required
@never_cache
def strategy(request: HttpRequest, name: str) -> HttpResponse:
    now = datetime.now(UTC)
    try:
        asked, wanted = strategy_scope.parse_sheet(request.GET, name), _wanted(request)
        of = _rows_wanted(request)
        found = _shared.sheet(asked, now)
    except (BadScope, BadPlace) as error:
        return _refused(error)
    except UnknownStrategy as error:
        raise Http404(str(error)) from error
    if wanted == "html":
        return _page(request, found)
    report = found.report
    what = f"strategy {asked.strategy or 'none stated'}, {wanted}"
    if wanted == "json":
        _record(request, what, asked.query, rows=len(report.trades.rows), now=now)
        return _json(found)
    _record(request, f"{what} of {of}", asked.query, rows=report.trades.total if of == "trades" else 0, now=now)
    return _csv(_sheet_csv(report, asked, of, now), f"strategy_{of}", now)


def _sheet_csv(report: StrategySheet, asked: SheetScope, of: str, now: datetime) -> str:
    if of == strategy_export.DAYS:
        return strategy_export.days_csv(report)
    trips = _shared.trips(asked.scope.environment, asked.strategy, now)
    return strategy_export.trades_csv(trips_within(trips, asked.scope))


def _wanted(request: HttpRequest) -> str:
    wanted = request.GET.get("format", "html")
    if wanted not in _FORMATS:
        raise BadScope(f"format={wanted!r}: allowed are html, json and csv")
    return wanted


def _rows_wanted(request: HttpRequest) -> str:
    of = request.GET.get("of", strategy_export.TRADES)
    if of not in (strategy_export.TRADES, strategy_export.DAYS):
        raise BadScope(f"of={of!r}: allowed are trades and days")
    return of


def _record(request: HttpRequest, what: str, query: Mapping[str, Any], *, rows: int, now: datetime) -> None:
    """The view has let in only who is logged in. `rows` tell of single orders."""
    asked = f"?{urlencode(query)}" if query else ""
    access.record_export(actor=cast(User, request.user), what=f"{what}{asked}", row_count=rows, now=now)


def _page(request: HttpRequest, found: Rendered[Any]) -> HttpResponse:
    return render(request, rendering.template_of(found.report), {"report": found.report, "body": found.body})


def _json(found: Rendered[Any]) -> HttpResponse:
    return HttpResponse(rendering.json_text(found.report), content_type="application/json")


def _csv(text: str, name: str, now: datetime) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}_{now:%Y%m%d_%H%M%S}.csv"'}
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)


def _refused(error: Exception) -> HttpResponse:
    return JsonResponse({"error": str(error)}, status=400)
