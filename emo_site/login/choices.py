"""The words of logging in."""

from __future__ import annotations

from django.db import models


class LoginKey(models.TextChoices):
    """What failures are counted by."""

    NAME = "name", "user name"
    ADDRESS = "address", "address"


class LoginOutcome(models.TextChoices):
    """What became of an attempt, as the metric says it."""

    LOGGED_IN = "logged_in", "logged in"
    WRONG_PASSWORD = "wrong_password", "wrong password"  # no password
    WRONG_CODE = "wrong_code", "wrong code"
    LOCKED = "locked", "locked"
