"""Questions of probes end by themselves, on our side and on the server's."""

from __future__ import annotations

import time

import pytest
from django.db import OperationalError, connection, connections

from emo_site.db.health import asked_within, models_asked_within


@pytest.mark.django_db
def test_what_is_asked_in_time_is_answered() -> None:
    with asked_within("default", 5) as own, own.cursor() as cursor:
        cursor.execute("SELECT 1 + 1")
        assert cursor.fetchone() == (2,)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_a_question_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(OperationalError), asked_within("default", 0.5) as own, own.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(20)")
    assert time.monotonic() - started < 5


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_server_knows_of_the_end() -> None:
    with asked_within("default", 1.25) as own, own.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1250ms",)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_the_time_out_of_a_question_to_models_ends_with_it() -> None:
    with models_asked_within("default", 1.25), connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("1250ms",)
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() != ("1250ms",)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_question_to_models_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    try:
        with pytest.raises(OperationalError), models_asked_within("default", 0.5), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(20)")
        assert time.monotonic() - started < 5
    finally:
        connections["default"].close()
