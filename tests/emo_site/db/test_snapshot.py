"""Two connections to one SQLite file read the same moment beside each other, or one reads alone."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connections, transaction
from pytest_django.plugin import DjangoDbBlocker

from emo_site.db import snapshot as module
from emo_site.db.snapshot import snapshot
from emo_site.db.urls import sqlite

pytestmark = pytest.mark.once
ALIAS = "a_file"


@pytest.fixture
def file(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Path]:
    path = tmp_path / "file.sqlite"
    connections.settings[ALIAS] = {**connections.settings["default"], **sqlite(path)}
    with django_db_blocker.unblock():
        try:
            with connections[ALIAS].cursor() as cursor:
                cursor.execute("CREATE TABLE numbers (number integer)")
            yield path
        finally:
            connections[ALIAS].close()
            del connections[ALIAS], connections.settings[ALIAS]


def add(path: Path) -> None:
    """Another program does."""
    with closing(sqlite3.connect(path, timeout=0)) as other, other:
        other.execute("INSERT INTO numbers VALUES (1)")


def count() -> tuple[int, int]:
    """How many there are, and who read that."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM numbers")
        return cursor.fetchone()[0], threading.get_ident()


def opened(path: Path) -> int:
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.path.islink(link) and os.readlink(link) == str(path) for link in links)


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> list[int]:
    """`happens` when one of the two has begun and the other has not; grows with each beginning."""
    begin, begun = module._begin, []

    def watched(alias: str) -> Callable[[], None]:
        end = begin(alias)
        begun.append(1)
        happens()
        return end

    monkeypatch.setattr(module, "_begin", watched)
    return begun


def test_both_see_the_moment_at_which_they_began(file: Path) -> None:
    add(file)
    with snapshot(ALIAS, two=True) as beside:
        add(file)
        there, here = beside(count)(), count()
        assert there[0] == here[0] == 1
        assert there[1] != here[1] == threading.get_ident()
    assert count()[0] == 2


@pytest.mark.parametrize("two", [False, True])
def test_no_writer_waits_for_what_is_read_first_on_a_connection(file: Path, *, two: bool) -> None:
    connections[ALIAS].close()
    with snapshot(ALIAS, two=two):
        add(file)


def test_a_commit_between_the_two_beginnings_has_them_begin_anew(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = between(monkeypatch, lambda: add(file) if len(begun) < 3 else None)
    with snapshot(ALIAS, two=True) as beside:
        there, here = beside(count)(), count()
    assert len(begun) == 3
    assert there[0] == here[0] == 2
    assert there[1] != here[1]


def test_where_others_never_stop_committing_one_reads_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, lambda: add(file))
    with snapshot(ALIAS, two=True) as beside:
        before = beside(count)()
        add(file)
        assert beside(count)() == count() == before == (5, threading.get_ident())


def test_inside_of_a_transaction_one_reads_what_it_wrote(file: Path) -> None:
    with transaction.atomic(ALIAS), connections[ALIAS].cursor() as cursor:
        cursor.execute("INSERT INTO numbers VALUES (1)")
        with snapshot(ALIAS, two=True) as beside:
            assert beside(count)() == (1, threading.get_ident())


def test_a_database_in_memory_is_read_by_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the tests' own is: it doesn't say what was committed."""
    connections[ALIAS].close()
    monkeypatch.setitem(connections[ALIAS].settings_dict, "NAME", f"file:{file.name}?mode=memory&cache=shared")
    with snapshot(ALIAS, two=True) as beside:
        assert beside(threading.get_ident)() == threading.get_ident()


def test_what_goes_wrong_on_either_side_is_raised_and_nothing_is_left_open(file: Path) -> None:
    def fail() -> None:
        raise LookupError("beside")

    before = opened(file)
    for _ in range(5):
        with snapshot(ALIAS, two=True) as beside:
            result = beside(fail)
            with pytest.raises(LookupError, match="beside"):
                result()
        with pytest.raises(LookupError, match="here"), snapshot(ALIAS, two=True):
            raise LookupError("here")
    # SQLite keeps the descriptor of a closed connection for the next one, as long as the process has the file open.
    assert opened(file) <= before + 1
    # The next transaction is one for writing again.
    assert connections[ALIAS].transaction_mode == "IMMEDIATE"  # type: ignore[attr-defined]
    with transaction.atomic(ALIAS), pytest.raises(sqlite3.OperationalError, match="locked"):
        add(file)
