"""What processes counted is added up in the tables, whole or not at all, and let go after a week."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction
from psycopg_pool import PoolTimeout

from emo_site.tallies import Tallies
from monitoring import tallies
from monitoring.models import ErrorMinute, RequestMinute

AT = datetime(2026, 11, 26, 9, 30, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Tallies:
    own = Tallies()
    monkeypatch.setattr("emo_site.tallies.of_process", own)
    return own


def fill(own: Tallies, message: str = "away", at: datetime = AT) -> None:
    own.note_error(kind="database connection", level="error", message=message, at=at)
    own.note_error(kind="performance", level="warning", message="slow", at=at)
    own.note_request(failed=True, slow=False, at=at)
    own.note_request(failed=False, slow=True, at=at)


@pytest.mark.django_db
def test_batches_of_several_processes_add_up(own: Tallies) -> None:
    fill(own, "first")
    assert tallies.write(AT) == 3
    assert tallies.write(AT) == 0
    fill(own, "last", AT + timedelta(seconds=20))
    fill(own, "an older one that comes late", AT - timedelta(seconds=5))
    tallies.write(AT)
    row = ErrorMinute.objects.get(kind="database connection")
    assert (row.count, row.message, row.last_at) == (3, "last", AT + timedelta(seconds=20))
    minute = RequestMinute.objects.get()
    assert (minute.requests, minute.failures, minute.slow) == (6, 3, 3)


@pytest.mark.django_db
@pytest.mark.parametrize("error", [OperationalError("gone"), RuntimeError("a mistake")])
def test_what_can_not_be_written_is_kept_whole(own: Tallies, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(found: Any) -> None:
        raise error

    fill(own)
    with monkeypatch.context() as patch:
        patch.setattr(tallies, "_add_requests", fail)
        with pytest.raises(type(error)):
            tallies.write(AT)
    assert not ErrorMinute.objects.exists()
    assert tallies.write(AT) == 3
    assert ErrorMinute.objects.get(kind="performance").count == 1


@pytest.mark.django_db
def test_an_outage_is_waited_for_in_silence(own: Tallies, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(found: Any) -> None:
        raise OperationalError from PoolTimeout()

    fill(own)
    with monkeypatch.context() as patch:
        patch.setattr(tallies, "_add_errors", fail)
        assert tallies.write(AT) == 0
    assert tallies.write(AT) == 3


@pytest.mark.django_db
def test_after_a_week_they_go(own: Tallies) -> None:
    fill(own)
    tallies.write(AT)
    fill(own, at=AT + timedelta(days=7, minutes=2))
    tallies.write(AT + timedelta(days=7, minutes=2))
    assert ErrorMinute.objects.filter(kind="performance").count() == RequestMinute.objects.count() == 1


@pytest.mark.django_db
def test_the_last_errors_are_told_by_kind_newest_first(own: Tallies) -> None:
    fill(own, "long ago", AT - timedelta(hours=2))
    fill(own, "first")
    own.note_error(kind="migration", level="error", message="can't", at=AT + timedelta(minutes=3))
    fill(own, "last", AT + timedelta(minutes=2))
    tallies.write(AT)
    found = tallies.last_errors(since=AT)
    assert [(each.kind, each.level, each.count, each.message) for each in found.kinds] == [
        ("migration", "error", 1, "can't"),
        ("database connection", "error", 2, "last"),
        ("performance", "warning", 2, "slow"),
    ]
    assert (found.errors, found.warnings) == (3, 2)
    requests = tallies.web_requests(since=AT)
    assert (requests.requests, requests.failures, requests.failed_percent) == (4, 2, 50.0)


@pytest.mark.django_db
def test_another_environment_is_another_desk(own: Tallies, settings: Any) -> None:
    fill(own)
    tallies.write(AT)
    settings.EMO_ENV = "staging"
    assert tallies.last_errors(since=AT).kinds == ()
    assert tallies.web_requests(since=AT).failed_percent is None


# SQLite has one writer at a time, and in memory it does not wait.
@pytest.mark.postgresql
@pytest.mark.usefixtures("emptied_afterwards")
def test_many_workers_at_once_lose_nothing() -> None:
    """Each with the kinds in another order: two that locked rows in two orders would end in a deadlock."""
    workers, failures = 6, []

    def work(number: int) -> None:
        kinds = ["audit", "performance", "web request", "other"]
        try:
            for _ in range(5):
                found = Tallies()
                for kind in kinds if number % 2 else reversed(kinds):
                    found.note_error(kind=kind, level="error", message=kind, at=AT)
                with transaction.atomic():
                    tallies._add_errors(found.take().errors)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(ErrorMinute.objects.values_list("kind", "count")) == {
        (kind, workers * 5) for kind in ("audit", "performance", "web request", "other")
    }
