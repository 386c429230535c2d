"""What a request gets while a database is away: the other server, or a clean 503; never a second attempt to write."""

from __future__ import annotations

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from psycopg_pool import PoolTimeout

from emo_site.db import connections as guarded
from emo_site.db import replicas
from emo_site.outages import will_be_repeated

pytestmark = pytest.mark.django_db

handler500 = "emo_site.outages.server_error"
asked: list[str] = []
errors: list[Exception] = []


def lost() -> Exception:
    error = OperationalError("server closed the connection unexpectedly")
    error.__cause__ = psycopg.OperationalError("server closed the connection unexpectedly")
    return error


def no_connection() -> Exception:
    error = OperationalError("…")
    error.__cause__ = PoolTimeout("…")
    return error


def page(request: HttpRequest) -> HttpResponse:
    asked.append(str(request.method))
    if errors:
        raise errors.pop(0)
    return HttpResponse("the page")


def page_of_parts(request: HttpRequest) -> HttpResponse:
    asked.append(str(request.method))
    try:
        if errors:
            raise errors.pop(0)
    except DatabaseError as error:
        if will_be_repeated(error):
            raise
        return HttpResponse("a part is missing")
    return HttpResponse("the page")


def committed_then_lost(request: HttpRequest) -> HttpResponse:
    asked.append(str(request.method))
    counter = guarded._commits.get()
    assert counter is not None
    counter[0] += 1
    raise lost()


def executed_then_lost(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(request.POST["statement"])
    raise lost()


urlpatterns = [
    path("page", page),
    path("parts", page_of_parts),
    path("executed", executed_then_lost),
    path("committed", committed_then_lost),
]


@pytest.fixture(autouse=True)
def _desk(settings: object) -> None:
    settings.ROOT_URLCONF = __name__  # type: ignore[attr-defined]
    asked.clear()
    errors.clear()


@pytest.fixture
def replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk with a replica that answers."""
    monkeypatch.setattr(replicas, "aliases", lambda: ["replica1"])
    monkeypatch.setattr(replicas, "can_stand_in", lambda: True)
    monkeypatch.setattr(replicas, "keep_watch", lambda: None)


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.usefixtures("replica")
def test_read_is_repeated_once_when_the_connection_was_lost(client: Client) -> None:
    errors.append(lost())
    answer = client.get("/page")
    assert (answer.status_code, answer.content, asked) == (200, b"the page", ["GET", "GET"])


@pytest.mark.usefixtures("replica")
def test_read_that_fails_twice_is_answered_503(client: Client) -> None:
    errors.extend([lost(), no_connection(), lost()])
    answer = client.get("/page")
    assert (answer.status_code, asked) == (503, ["GET", "GET"])
    assert answer["Retry-After"] == "5"
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        ([lost()], "the page"),
        ([no_connection()], "the page"),
        ([lost(), lost()], "a part is missing"),
        ([ProgrammingError("no such table")], "a part is missing"),
    ],
)
@pytest.mark.usefixtures("replica")
def test_page_that_could_do_without_a_part_is_read_elsewhere_first(
    client: Client, raised: list[Exception], shown: str
) -> None:
    errors.extend(raised)
    assert client.get("/parts").content.decode() == shown
    # Who writes is not asked twice.
    errors.append(lost())
    assert client.post("/parts").content.decode() == "a part is missing"


def test_read_is_repeated_without_a_replica_too_unless_it_has_waited_in_vain(client: Client) -> None:
    errors.append(lost())
    assert (client.get("/page").status_code, asked) == (200, ["GET", "GET"])
    errors.append(no_connection())
    assert (client.get("/page").status_code, asked) == (503, ["GET", "GET", "GET"])


@pytest.mark.usefixtures("replica")
def test_write_is_never_repeated(client: Client) -> None:
    errors.append(lost())
    answer = client.post("/page")
    assert (answer.status_code, asked) == (503, ["POST"])
    assert "Nothing was written. Try again in a few seconds." in answer.content.decode()
    assert "The connection to the database was lost." in answer.content.decode()


def test_write_that_was_lost_after_a_commit_says_that_nobody_knows(client: Client) -> None:
    answer = client.post("/committed?format=json")
    assert answer.status_code == 503
    assert answer.json() == {
        "error": "database unavailable",
        "reason": "The connection to the database was lost.",
        "outcome": "unknown",
    }
    assert "it may or may not be on record" in client.post("/committed").content.decode()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ("UPDATE auth_user SET last_name = 'x' WHERE id = -1", "unknown"),
        (" select count(*) FROM auth_user", "nothing written"),
    ],
)
def test_write_outside_a_transaction_that_was_lost_is_one_that_nobody_knows_of(
    client: Client, statement: str, outcome: str
) -> None:
    """As Django writes a changed password: a statement that commits by itself."""
    answer = client.post("/executed?format=json", {"statement": statement})
    assert (answer.status_code, answer.json()["outcome"]) == (503, outcome)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.usefixtures("replica")
def test_mistake_stays_a_mistake(client: Client, method: str) -> None:
    error = ProgrammingError("relation does not exist")
    error.__cause__ = psycopg.errors.UndefinedTable("relation does not exist")
    errors.append(error)
    assert (getattr(client, method)("/page").status_code, len(asked)) == (500, 1)


def test_outage_outside_the_view_is_a_503_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_saved(*args: object) -> None:
        raise InterfaceError("connection already closed")

    monkeypatch.setattr("django.contrib.sessions.middleware.SessionMiddleware.process_response", not_saved)
    answer = client.get("/page")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


@pytest.mark.usefixtures("replica")
def test_page_is_shown_from_a_replica_at_once_while_the_primary_is_known_to_be_down(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(replicas, "primary_is_down", lambda: True)
    monkeypatch.setattr(
        "tests.emo_site.test_outages.errors", type("Notes", (list,), {"__bool__": lambda self: bool(_note(seen))})()
    )
    assert client.get("/page").status_code == 200
    assert seen == [True]


def _note(seen: list[bool]) -> None:
    reading = replicas._reading.get()
    seen.append(reading is not None and reading.any_will_do)
