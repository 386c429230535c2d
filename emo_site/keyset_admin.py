"""Admin lists of time series: newest first, paged by place, with links instead of page numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from emo_site import display
from emo_site.db import keyset
from emo_site.db.keyset import BEGINNING, BadPlace, Place, Window
from emo_site.record_admin import BigChangeList, RecordAdmin

OLDER, NEWER = "older", "newer"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One link of the paging; without a query there is nothing that way."""

    label: str
    query: str
    rel: str = ""


class KeysetChangeList(BigChangeList):
    """`window` is the page that is shown, `turns` are the ways on from it, `span` says what time it covers."""

    window: Window

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        # Neither filters of the table, nor what a link to another filter should keep.
        for name in (OLDER, NEWER):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        return super().get_queryset(request, *args, **kwargs)

    def get_results(self, request: HttpRequest) -> None:
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        self.result_count = self.paginator.count
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        try:
            self.window = window(request, self.queryset, self.list_per_page)
        except BadPlace as error:
            raise IncorrectLookupParameters(str(error)) from error
        self.result_list = self.window.rows

    def turns(self) -> list[Turn]:
        newer, older = self.window.newer, self.window.older
        here = self.get_query_string()
        return [
            Turn(label="Newest", query=here if newer else ""),
            Turn(label="Newer", query=self._to(NEWER, newer), rel="prev"),
            Turn(label="Older", query=self._to(OLDER, older), rel="next"),
            Turn(label="Oldest", query=self.get_query_string({NEWER: BEGINNING}) if older else ""),
        ]

    def span(self) -> str:
        rows = self.window.rows
        return f"{display.moment(rows[0].timestamp)} back to {display.moment(rows[-1].timestamp)}" if rows else ""

    def _to(self, way: str, place: Place | None) -> str:
        return self.get_query_string({way: place.text}) if place else ""


def window(request: HttpRequest, queryset: QuerySet[Any], size: int) -> Window:
    """The page that the request asks for. Raises BadPlace."""
    older, newer = request.GET.get(OLDER), request.GET.get(NEWER)
    if older is not None and newer is not None:
        raise BadPlace(f"{OLDER} and {NEWER} can't both be asked for")
    if older is not None:
        return keyset.older_than(queryset, Place.parse(OLDER, older), size)
    if newer is not None:
        return keyset.newer_than(queryset, None if newer == BEGINNING else Place.parse(NEWER, newer), size)
    return keyset.newest(queryset, size)


class KeysetAdmin(RecordAdmin):
    """Of a model with `timestamp` and `id` that an index leads through in that order."""

    ordering = keyset.ORDER
    list_per_page = 100

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            window(request, self.model._default_manager.none(), 1)
        except BadPlace as error:
            messages.warning(request, f"That place in the list is not understood, so this is its top. ({error})")
            return HttpResponseRedirect(_without_place(request))
        return super().changelist_view(request, extra_context)


def _without_place(request: HttpRequest) -> str:
    kept = [(name, value) for name, values in request.GET.lists() for value in values if name not in (OLDER, NEWER)]
    return f"{request.path}?{urlencode(kept)}" if kept else request.path
