"""Fixtures of the whole suite. Which database the run is about is EMO_TEST_BACKEND's word (see tests/run.py)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.db import connection

from emo_site.db import append_only
from tests.run import browser_path

BACKEND = os.environ.get("EMO_TEST_BACKEND", "sqlite")
BACKENDS_OF_MARK = {
    "postgresql": {"postgresql", "timescaledb"},
    "timescaledb": {"timescaledb"},
    "sqlite": {"sqlite"},
}

# Playwright runs an event loop in the thread of the test, which also uses the ORM.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test about another engine does not belong to this run: it is left out by name, and counted, not skipped."""
    kept, left = [], []
    for item in items:
        engines = [BACKENDS_OF_MARK[mark.name] for mark in item.iter_markers() if mark.name in BACKENDS_OF_MARK]
        wanted = all(BACKEND in names for names in engines)
        if item.get_closest_marker("browser") and browser_path() is None:
            # The runner says so at the end, and fails in CI.
            wanted = False
        (kept if wanted else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture(autouse=True)
def _plain_static_files(settings: object) -> None:
    """Templates name static files by their plain names: the hashed ones exist only after collectstatic."""
    settings.STORAGES = {  # type: ignore[attr-defined]
        **settings.STORAGES,  # type: ignore[attr-defined]
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def emptied_afterwards(transactional_db: None) -> Iterator[None]:
    """For tests with real transactions: the append-only table must let the emptying at the end through."""
    yield
    append_only.run(connection, append_only.statements_to_release(connection.vendor, "order_events"))
    try:
        for table in ("executed_orders", "order_events", "order_legs", "staged_orders"):
            with connection.cursor() as cursor:
                cursor.execute(f'DELETE FROM "{table}"')
    finally:
        append_only.run(connection, append_only.statements_to_protect(connection.vendor, "order_events"))
