"""Order reviews that somebody comes back to, by name: saved, renamed and deleted by whoever they belong to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from orders import saved_filters
from orders.choices import FilterPlace
from orders.refusal import Refused
from reporting import order_scope
from reporting.order_scope import BadScope


@require_POST
@login_required
def save(request: HttpRequest) -> HttpResponse:
    """Under `name` the review that `query` asks for. A period such as 30d stays one: it ends today whenever it is
    looked at.
    """

    def kept(owner: User, now: datetime) -> str:
        found = saved_filters.save(
            owner, FilterPlace.REVIEW, name=request.POST.get("name", ""), query=_query(request, now), now=now
        )
        return f"This review is saved as {found.name}."

    return _done(request, kept)


@require_POST
@login_required
def rename(request: HttpRequest, view_id: int) -> HttpResponse:
    def renamed(owner: User, now: datetime) -> str:
        found = saved_filters.rename(owner, FilterPlace.REVIEW, view_id, name=request.POST.get("name", ""))
        return f"The saved review is called {found.name} now."

    return _done(request, renamed)


@require_POST
@login_required
def delete(request: HttpRequest, view_id: int) -> HttpResponse:
    def deleted(owner: User, now: datetime) -> str:
        return f"{saved_filters.delete(owner, FilterPlace.REVIEW, view_id)} is no saved review any more."

    return _done(request, deleted)


def _done(request: HttpRequest, act: Callable[[User, datetime], str]) -> HttpResponse:
    """Back to the review from which it was asked, which says what was done or why not."""
    now = datetime.now(UTC)
    try:
        # The view has let in only who is logged in.
        messages.success(request, act(cast(User, request.user), now))
    except (Refused, BadScope) as refused:
        messages.error(request, f"Refused: {refused}")
    try:
        query = _query(request, now)
    except BadScope:
        query = ""
    return redirect(f"{reverse('reporting:orders')}?{query}")


def _query(request: HttpRequest, now: datetime) -> str:
    """As the review itself writes it. Raises BadScope."""
    asked = dict(parse_qsl(request.POST.get("query", "").removeprefix("?")))
    return urlencode(order_scope.parse(asked, now=now).query)
