"""The admin site under the desk's name, with the desk's own way to log in."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse


class DeskAdminSite(admin.AdminSite):
    site_header = "EMO Desk"
    site_title = "EMO Desk"
    index_title = "Review desk"
    site_url = "/"
    # The lists need the width; the header and the index lead everywhere.
    enable_nav_sidebar = False

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Models can't be imported while the apps are being loaded, which import this.
        from emo_site.login.views import SecondFactorPage  # noqa: PLC0415

        own: list[URLPattern | URLResolver] = [
            path("login/code/", self.login_code, name="login_code"),
            path("second-factor/", self.admin_view(SecondFactorPage(self)), name="second_factor"),
        ]
        # Nothing has a page elsewhere; Django's way there answers 500 to an id that is no UUID.
        return own + [each for each in super().get_urls() if getattr(each, "name", None) != "view_on_site"]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from emo_site.login.views import PasswordView  # noqa: PLC0415

        if request.method == "GET" and self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index", current_app=self.name))
        return self._entrance(request, PasswordView, "Log in", extra_context)

    def login_code(self, request: HttpRequest) -> HttpResponse:
        from emo_site.login.views import CodeView  # noqa: PLC0415

        return self._entrance(request, CodeView, "Second factor", None)

    def _entrance(
        self, request: HttpRequest, view: Any, title: str, extra_context: dict[str, Any] | None
    ) -> HttpResponse:
        context = {
            **self.each_context(request),
            "title": title,
            "subtitle": None,
            "app_path": request.get_full_path(),
            "username": request.user.get_username(),
            **(extra_context or {}),
        }
        if REDIRECT_FIELD_NAME not in request.GET and REDIRECT_FIELD_NAME not in request.POST:
            context[REDIRECT_FIELD_NAME] = reverse("admin:index", current_app=self.name)
        response: HttpResponse = view.as_view(extra_context=context)(request)
        return response
