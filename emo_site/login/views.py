"""The pages of logging in: password, code, and one's own second factor."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from emo_site.login import accounts, attempts, pending, secret_box, totp
from emo_site.login.attempts import Attempt
from emo_site.login.backend import PATH, DeskBackend
from emo_site.login.choices import LoginOutcome
from emo_site.login.forms import CodeForm, EnrolForm, PasswordForm
from emo_site.login.models import Person
from emo_site.login.noting import address_of, note
from emo_site.login.qr import qr_code

ISSUER = "EMO Desk"
# The secret that is being set up, closed; it is nobody's until a code has shown that an app has it.
_OFFERED = "second_factor_offered"
_TOO_MANY = 429


class _Entrance(LoginView):
    """What the two steps have in common."""

    def form_invalid(self, form: Any) -> HttpResponse:
        response = super().form_invalid(form)
        if form.wait:
            response.status_code = _TOO_MANY
            response["Retry-After"] = str(int(form.wait.total_seconds()) + 1)
        return response

    def let_in(self, person: Person, attempt: Attempt) -> HttpResponse:
        login(self.request, person, backend=PATH)
        attempts.succeeded(attempt)
        note(LoginOutcome.LOGGED_IN, attempt)
        # Nobody else does, and those of a busy desk add up.
        self.request.session.clear_expired()
        if lacks_second_factor(person):
            return redirect("admin:second_factor")
        return HttpResponseRedirect(self.get_success_url())


class PasswordView(_Entrance):
    """Name and password; on to the code where the person has a second factor."""

    authentication_form = PasswordForm
    template_name = "admin/login.html"

    def form_valid(self, form: Any) -> HttpResponse:
        person: Person = form.get_user()
        if not accounts.is_enrolled(person):
            return self.let_in(person, form.attempt)
        attempts.passed(form.attempt)
        pending.begin(self.request, person, now=timezone.now())
        following = urlencode({self.redirect_field_name: self.get_success_url()})
        return HttpResponseRedirect(f"{reverse('admin:login_code')}?{following}")


class CodeView(_Entrance):
    """The second step, in reach of whoever has just given the right password."""

    form_class = CodeForm  # type: ignore[assignment]  # Django's own take a request
    template_name = "admin/login_code.html"
    person: Person

    @method_decorator(sensitive_post_parameters("code"))
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        person = pending.person_of(request, now=timezone.now())
        if person is None:
            return redirect("admin:login")
        self.person = person
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        kwargs = super().get_form_kwargs()
        del kwargs["request"]
        return {**kwargs, "person": self.person, "address": address_of(self.request)}

    def get_form(self, form_class: Any = None) -> Any:
        form = super().get_form(form_class)
        form.fields["code"].widget.attrs |= {"autofocus": True, "aria-describedby": "code-help"}
        return form

    def form_valid(self, form: Any) -> HttpResponse:
        pending.end(self.request)
        return self.let_in(self.person, form.attempt)


def lacks_second_factor(person: Person) -> bool:
    """Whether the desk demands one for something that they may do."""
    return any(
        accounts.is_missing(person, permission) and person.has_perm(permission)
        for permission in settings.SECOND_FACTOR_PERMISSIONS
    )


@method_decorator(sensitive_post_parameters(), name="__call__")
class SecondFactorPage:
    """One's own second factor: set it up, get new backup codes, remove it. For whoever is logged in."""

    def __init__(self, admin_site: Any) -> None:
        self.admin_site = admin_site

    @method_decorator(never_cache)
    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The one of the session, not a lazy object: its account is written with it.
        person = None if request.user.pk is None else DeskBackend().get_user(request.user.pk)
        if person is None:
            return redirect("admin:login")
        if not accounts.is_enrolled(person):
            return self._enrol(request, person)
        return self._change(request, person)

    def _enrol(self, request: HttpRequest, person: Person) -> HttpResponse:
        secret = _offered(request)
        form = EnrolForm(request.POST or None, person=person, address=address_of(request))
        if request.method == "POST" and form.is_valid():
            try:
                codes = accounts.enrol(person, secret, form.cleaned_data["code"], now=timezone.now())
            except accounts.Refused as refused:
                form.add_error("code", str(refused))
            else:
                del request.session[_OFFERED]
                return self._told(request, person, codes)
        address = totp.address_of(secret, issuer=ISSUER, name=person.get_username())
        text = totp.as_text(secret)
        groups = [text[start : start + 4] for start in range(0, len(text), 4)]
        demanded = lacks_second_factor(person)
        return self._page(request, "enrol", form=form, qr=qr_code(address), groups=groups, demanded=demanded)

    def _change(self, request: HttpRequest, person: Person) -> HttpResponse:
        form = CodeForm(request.POST or None, person=person, address=address_of(request))
        if request.method == "POST" and form.is_valid():
            attempts.succeeded(form.attempt)
            if "remove" in request.POST:
                accounts.remove(person)
                _keep_session(request, person)
                messages.success(request, "Your second factor is removed. Your other sessions have ended.")
                return redirect("admin:second_factor")
            return self._told(request, person, accounts.renew_backup_codes(person, now=timezone.now()))
        left = accounts.backup_codes_left(person)
        since = person.account.enrolled_at
        return self._page(request, "change", form=form, left=left, since=since, of=accounts.BACKUP_CODES)

    def _told(self, request: HttpRequest, person: Person, codes: list[str]) -> HttpResponse:
        """This once: they are kept as hashes."""
        _keep_session(request, person)
        return self._page(request, "codes", codes=codes)

    def _page(self, request: HttpRequest, which: str, **context: Any) -> HttpResponse:
        return TemplateResponse(
            request,
            f"admin/second_factor_{which}.html",
            {**self.admin_site.each_context(request), "title": "Second factor", **context},
        )


def _offered(request: HttpRequest) -> bytes:
    """The same secret until it is set up, so that a page that was loaded twice shows what the app has."""
    closed = request.session.get(_OFFERED)
    if closed is not None:
        try:
            return secret_box.open_closed(closed)
        except secret_box.CannotOpen:
            # The key was changed while it was being set up: begin anew.
            closed = None
    secret = totp.new_secret()
    request.session[_OFFERED] = secret_box.close(secret)
    return secret


def _keep_session(request: HttpRequest, person: Person) -> None:
    """All sessions of the person have ended but this one, which goes on under another id."""
    again = DeskBackend().get_user(person.pk)
    if again is not None:
        update_session_auth_hash(request, again)
