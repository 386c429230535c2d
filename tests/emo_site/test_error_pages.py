"""Django's debug page shows frames and settings, and no password in any of them."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

SECRET = "wr0ng s3cret/'"


class Untellable:
    def __repr__(self) -> str:
        raise ValueError("no")


def connect(**parameters: str) -> None:
    harmless, untellable = "shown-as-it-is", Untellable()
    raise ValueError(f"failed with {len(parameters)}, {harmless}, {id(untellable)}")


def page(settings: Any, monkeypatch: pytest.MonkeyPatch, **environ: str) -> str:
    settings.DEBUG = True
    databases = {"default": {"ENGINE": "x", "NAME": "desk", "PASSWORD": SECRET, "OPTIONS": {}}}
    monkeypatch.setattr(django_settings, "DATABASES", databases)
    try:
        connect(host="db", password=SECRET)
    except ValueError:
        reporter = ExceptionReporter(RequestFactory().get("/", **environ), *sys.exc_info())
        return reporter.get_traceback_html() + reporter.get_traceback_text()


def test_no_frame_shows_a_password(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = page(settings, monkeypatch)
    assert "shown-as-it-is" in told
    assert "s3cret" not in told


def test_no_variable_of_the_environment_shows_a_password(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told = page(settings, monkeypatch, EMO_DB_URL="postgresql://emo:wr0ng%20s3cret%2F%27@db/desk", OTHER="stays")
    assert "stays" in told
    assert "s3cret" not in told
