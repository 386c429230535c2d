"""Every line says what, when, who and about which order; no way into the log lets a secret through."""

from __future__ import annotations

import json
import logging
import logging.config
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from gunicorn.config import Config
from gunicorn.glogging import Logger

from emo_site.logs import context, counting
from emo_site.logs.formats import JsonLines, PlainLines
from emo_site.request_watch import watched
from emo_site.tallies import Tallies

FORMATS = {"json": JsonLines, "plain": PlainLines}
KEY, AUDIT, OLD, BACKUP, TOKEN, PASSWORD, SCRATCH = SECRETS = (
    "K3y-of-the-desk\"with'quotes",
    "Aud1t-key-of-the-desk-32-characters",
    "Old-aud1t-key-of-the-desk-32-charac",
    "AGE-SECRET-KEY-1ZZZZTOPSECRETZZZZ",
    "T0ken-of-the-metrics-32-characters!",
    "pa/ss w@rd%zyxw",
    "scr4tch-password",
)
# Nobody knows these: they stand where secrets stand.
COOKIE, BEARER = UNKNOWN = ("c00kie-of-somebody", "b34rer-of-somebody")


@pytest.fixture(params=FORMATS)
def lines(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """The desk's log, in either format, with secrets that are looked for; all loggers write there."""
    settings.SECRET_KEY, settings.EMO_AUDIT_KEY, settings.EMO_AUDIT_OLD_KEYS = KEY, AUDIT, [OLD]
    settings.EMO_BACKUP_KEY, settings.EMO_METRICS_TOKENS = BACKUP, [TOKEN]
    settings.EMO_BACKUP_SCRATCH = {"PASSWORD": "", "OPTIONS": {"password": SCRATCH}}
    databases = {**django_settings.DATABASES, "other": {"PASSWORD": PASSWORD, "OPTIONS": {}}}
    monkeypatch.setattr(django_settings, "DATABASES", databases)
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMATS[request.param]())
    for name in ("orders", "django", "gunicorn"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [handler])
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
    return stream


def clean(stream: StringIO) -> str:
    told = stream.getvalue()
    assert told
    for secret in (*SECRETS, *UNKNOWN):
        assert secret not in told
        # Nor a piece of it that quoting would have left.
        assert re.split(r"[\"'/ @%]", secret)[-1] not in told.replace("***", "")
    return told


def fail(secret: str) -> None:
    raise ValueError(f"can't use {secret}")


LOG = logging.getLogger("orders.somewhere")


def with_exception(secret: str) -> None:
    try:
        try:
            fail(secret)
        except ValueError as error:
            raise RuntimeError(f"because of {secret}") from error
    except RuntimeError:
        LOG.exception("failed")


def with_bad_arguments(secret: str) -> None:
    made = LOG.makeRecord(LOG.name, logging.ERROR, __file__, 1, "%d of %s", (secret,), None)
    # pytest's own handler fails on it.
    for handler in logging.getLogger("orders").handlers:
        if isinstance(handler.formatter, tuple(FORMATS.values())):
            handler.handle(made)


WAYS: dict[str, Callable[[str], None]] = {
    "message": lambda secret: LOG.error(f"key {secret}"),
    "argument": lambda secret: LOG.error("key %s and %r", secret, secret),
    "dictionary of arguments": lambda secret: LOG.error("key %(a)s", {"a": secret}),
    "extra": lambda secret: LOG.error("x", extra={"found": secret, "deep": {"list": [secret]}}),
    "object": lambda secret: LOG.error("x %s", ValueError(secret), extra={"error": ValueError(secret)}),
    "bytes": lambda secret: LOG.error("x %s", secret.encode(), extra={"raw": secret.encode()}),
    "json": lambda secret: LOG.error(json.dumps({"a": secret})),
    "message that is no text": lambda secret: LOG.error({"a": secret}),
    "exception": with_exception,
    "arguments that don't fit": with_bad_arguments,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_way_into_the_log_lets_a_secret_through(
    way: str, secret: str, lines: StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    WAYS[way](secret)
    clean(lines)
    # logging itself writes there what it can't format.
    assert "Logging error" not in capsys.readouterr().err


def failing_view(request: HttpRequest) -> HttpResponse:
    raise ValueError(f"with {KEY} and {request.headers['Authorization']}")


urlpatterns = [path("failing/", failing_view, name="failing")]
handler500 = "tests.emo_site.logs.test_formats.plain_500"


def plain_500(request: HttpRequest) -> HttpResponse:
    return HttpResponse("failed", status=500)


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=["emo_site.request_watch.watched"])
def test_a_failing_page_is_logged_without_secrets_and_with_its_id(lines: StringIO) -> None:
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = COOKIE
    response = client.get("/failing/", {"token": BEARER, "q": PASSWORD}, headers={"Authorization": f"Bearer {BEARER}"})
    assert response.status_code == 500
    told = clean(lines)
    assert "Internal Server Error: /failing/" in told
    assert "ValueError: with ***" in told
    assert response["X-Request-ID"] in told


def test_the_text_of_a_failed_connection_is_logged_without_the_password(lines: StringIO) -> None:
    url = f"postgresql://emo:{BEARER}@127.0.0.1:1/desk?application_name={BEARER}"
    conninfo = f"host=127.0.0.1 port=1 user=emo password={COOKIE} dbname=desk"
    for place in (url, conninfo):
        try:
            psycopg.connect(place, connect_timeout=2)
        except psycopg.OperationalError:
            logging.getLogger("django.db.backends").exception("can't connect to %s", place.partition("?")[0])
    told = clean(lines)
    assert "127.0.0.1" in told
    assert "emo:***@" in told
    assert "password=***" in told


def access_line(lines: StringIO) -> str:
    """What gunicorn's own logger writes of one request, with the desk's format."""
    config = Config()
    config.set("access_log_format", '%(h)s "%(r)s" %(s)s %(q)s %(f)s %({cookie}i)s')
    log = Logger(config)
    # As logconfig_dict has it.
    log.access_log.handlers, log.access_log.propagate, log._access_log_enabled = [], True, True
    query = f"token={BEARER}&key={AUDIT}"
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": f"/x?{query}",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "QUERY_STRING": query,
        "HTTP_REFERER": f"https://desk/?password={COOKIE}",
        context.REQUEST_ID: "id-12345678",
        context.USER: "ann",
    }
    response = type("Response", (), {"status": "200 OK", "headers": [], "sent": 3})()
    headers = [("COOKIE", f"sessionid={COOKIE}"), ("AUTHORIZATION", f"Bearer {BEARER}")]
    log.access(response, headers, environ, timedelta(milliseconds=5))
    return lines.getvalue()


def test_the_log_of_accesses_shows_no_secret_of_a_query_and_names_request_and_person(lines: StringIO) -> None:
    told = access_line(lines)
    clean(lines)
    assert "/x?token=***" in told
    assert "id-12345678" in told
    assert "ann" in told


def record(**extra: Any) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "orders.fills", "levelno": 30, "levelname": "WARNING", "msg": "late", **extra}
    )
    made.created = 1_800_000_000.25
    return made


def test_a_line_of_json_has_all_that_is_known(settings: Any) -> None:
    settings.EMO_ENV = "staging"
    request = RequestFactory().get("/x?token=hush", headers={"X-Request-ID": "proxy-0001"})
    request._cached_user = User(username="ann")

    def view(request: HttpRequest) -> HttpResponse:
        context.name_order(request, "0198f0c0")
        lines.append(json.loads(JsonLines().format(record(quantity=3))))
        return HttpResponse()

    lines: list[dict[str, Any]] = []
    watched(view)(request)
    assert lines == [
        {
            "time": "2027-01-15T08:00:00.250+00:00",
            "level": "WARNING",
            "logger": "orders.fills",
            "message": "late",
            "environment": "staging",
            "process": lines[0]["process"],
            "request_id": "proxy-0001",
            "user": "ann",
            "order_id": "0198f0c0",
            "quantity": 3,
        }
    ]
    after = json.loads(JsonLines().format(record()))
    assert {"request_id", "user", "order_id"}.isdisjoint(after)


def test_a_plain_line_has_the_same() -> None:
    line = PlainLines().format(record(order_id="0198f0c0"))
    assert line == "2027-01-15 08:00:00Z WARNING orders.fills: late [order_id=0198f0c0]"


def test_no_extra_takes_the_place_of_what_the_line_says() -> None:
    line = json.loads(JsonLines().format(record(level="none", time="never", environment="elsewhere")))
    assert (line["level"], line["time"][:4], line["environment"]) == ("WARNING", "2027", "dev")


def test_a_line_of_json_is_one_line_whatever_it_holds() -> None:
    try:
        fail("a\nb\u2028c")
    except ValueError:
        text = JsonLines().format(record(msg="a\nb", exc_info=sys.exc_info()))
    assert len(text.splitlines()) == 1
    assert "Traceback" in json.loads(text)["exception"]


def test_errors_are_counted_by_kind_without_secrets(lines: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Tallies()
    monkeypatch.setattr("emo_site.tallies.of_process", own)
    handler = counting.CountErrors()
    handler.emit(record(levelno=40, msg=f"key {KEY}", exc_info=(ValueError, ValueError(PASSWORD), None)))
    handler.emit(record(name="django.request", levelno=30, status_code=404))
    handler.emit(record(name="django.request", levelno=40, status_code=503))
    handler.emit(record(name="emo.performance", levelno=30))
    assert own.totals() == {("other", "error"): 1, ("web request", "error"): 1, ("performance", "warning"): 1}
    [first, *_] = own.take().errors
    assert first.message == "key ***: ValueError: ***"
