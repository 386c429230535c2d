"""What is typed to log in, and to set a second factor up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone

from emo_site.login import accounts, attempts, lockout, secret_box
from emo_site.login.attempts import Attempt
from emo_site.login.choices import LoginOutcome
from emo_site.login.noting import address_of, note


def locked(wait: timedelta) -> ValidationError:
    """The same for everybody, known here or not."""
    return ValidationError(
        f"Too many failed logins. Wait {lockout.told(wait)}, or ask an administrator to release you.", code="locked"
    )


class PasswordForm(AdminAuthenticationForm):
    """Name and password, tried only while neither name nor address is locked."""

    attempt: Attempt | None = None
    wait: timedelta | None = None

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if name is None or not password or self.request is None:
            return super().clean()
        self.attempt = Attempt(name=name, address=address_of(self.request))
        self.wait = attempts.begin(self.attempt, now=timezone.now())
        if self.wait:
            note(LoginOutcome.LOCKED, self.attempt)
            raise locked(self.wait)
        try:
            return super().clean()
        except ValidationError:
            note(LoginOutcome.WRONG_PASSWORD, self.attempt)
            raise


def _code_field(label: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=20,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )


class CodeForm(forms.Form):
    """A code of the person, tried only while neither name nor address is locked."""

    required_css_class = "required"
    wait: timedelta | None = None

    code = _code_field("Code")

    def __init__(self, *args: Any, person: User, address: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        self.attempt = Attempt(name=person.get_username(), address=address)

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        now = timezone.now()
        self.wait = attempts.begin(self.attempt, now=now)
        if self.wait:
            note(LoginOutcome.LOCKED, self.attempt)
            raise locked(self.wait)
        try:
            accepted = accounts.accepts(self.person, code, now=now)
        except secret_box.CannotOpen as error:
            raise ValidationError(f"Your code can't be checked: {error}. Ask an administrator.") from error
        if not accepted:
            note(LoginOutcome.WRONG_CODE, self.attempt)
            raise ValidationError("That code is wrong, or was used before. Wait for the next one.", code="wrong")
        return code


class EnrolForm(forms.Form):
    """The password once more, so that a session alone is not enough, and the app's first code."""

    required_css_class = "required"

    password = forms.CharField(
        label="Your password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )
    code = _code_field("Code that the app shows")

    def __init__(self, *args: Any, person: User, address: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        self.attempt = Attempt(name=person.get_username(), address=address)

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if wait := attempts.begin(self.attempt, now=timezone.now()):
            note(LoginOutcome.LOCKED, self.attempt)
            raise locked(wait)
        if not self.person.check_password(password):
            note(LoginOutcome.WRONG_PASSWORD, self.attempt)
            raise ValidationError("That is not your password.", code="wrong")
        attempts.passed(self.attempt)
        return password
