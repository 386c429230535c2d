"""What a process counts by the minute is bounded, is taken once, and comes back where it could not be written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from emo_site.tallies import LONGEST_MESSAGE, MOST_KINDS, MOST_MINUTES, Tallies

AT = datetime(2026, 11, 26, 9, 30, 12, tzinfo=UTC)


def test_records_of_one_minute_kind_and_level_are_one_with_the_last_words() -> None:
    own = Tallies()
    for seconds, message in ((0, "first"), (30, "last"), (10, "between")):
        own.note_error(kind="audit", level="error", message=message, at=AT + timedelta(seconds=seconds))
    own.note_error(kind="audit", level="warning", message="less", at=AT)
    error, warning = own.take().errors
    assert (error.count, error.message, error.at) == (3, "last", AT + timedelta(seconds=30))
    assert (error.minute, warning.count) == (AT.replace(second=0), 1)


def test_requests_are_counted_by_the_minute() -> None:
    own = Tallies()
    own.note_request(failed=False, slow=True, at=AT)
    own.note_request(failed=True, slow=False, at=AT)
    own.note_request(failed=False, slow=False, at=AT + timedelta(minutes=1))
    first, second = own.take().requests
    assert (first.requests, first.failures, first.slow) == (2, 1, 1)
    assert (second.requests, second.failures, second.slow) == (1, 0, 0)


def test_what_was_taken_is_gone_and_what_is_given_back_is_added_up() -> None:
    own = Tallies()
    own.note_error(kind="audit", level="error", message="old", at=AT)
    taken = own.take()
    assert not own.take()
    own.note_error(kind="audit", level="error", message="new", at=AT + timedelta(seconds=1))
    own.give_back(taken)
    [error] = own.take().errors
    assert (error.count, error.message) == (2, "new")
    assert own.totals() == {("audit", "error"): 2}


def test_memory_is_bounded_while_nobody_takes_anything() -> None:
    own = Tallies()
    for minute in range(MOST_MINUTES + 50):
        own.note_error(kind="audit", level="error", message="x", at=AT + timedelta(minutes=minute))
        own.note_request(failed=True, slow=False, at=AT + timedelta(minutes=minute))
    taken = own.take()
    assert len(taken.errors) == len(taken.requests) == MOST_MINUTES
    # The oldest went.
    assert min(each.minute for each in taken.errors) == AT.replace(second=0) + timedelta(minutes=50)


def test_kinds_and_messages_are_bounded() -> None:
    own = Tallies()
    for number in range(MOST_KINDS + 5):
        own.note_error(kind=f"kind {number}", level="error", message="x" * 10_000, at=AT)
    assert len(own.totals()) == MOST_KINDS + 1
    assert own.totals()["other", "error"] == 5
    assert max(len(each.message) for each in own.take().errors) == LONGEST_MESSAGE
