"""Fixtures of the whole suite. Which database the run is about is EMO_TEST_BACKEND's word (see tests/run.py)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.base.operations import BaseDatabaseOperations
from django.db.models.signals import post_migrate

from tests.browsing import browser, console  # noqa: F401  # fixtures of every browser test
from tests.desk import collect_static
from tests.run import PROJECT, browser_path, etcd_path, has_node, has_tool, in_ci
from tests.tampering import protected_models, released

BACKEND = os.environ.get("EMO_TEST_BACKEND", "sqlite")
BACKENDS_OF_MARK = {
    "postgresql": {"postgresql", "timescaledb"},
    "timescaledb": {"timescaledb"},
    "sqlite": {"sqlite"},
    # Tests that start servers of their own don't become truer by being run beside each engine.
    "cluster": {"postgresql"},
    "once": {"sqlite"},
}

# About ordinary tables and pages, which an extension for time series leaves as they are: PostgreSQL answers for both.
PLAIN = (
    "tests/benchmarks/",
    "tests/deploy/",
    "tests/emo_site/api/",
    "tests/emo_site/deployment/",
    "tests/emo_site/login/",
    "tests/emo_site/test_legacy",
    "tests/test_admin",
    "tests/test_browser",
    "tests/test_control_admin",
    "tests/test_iron_condor",
    "tests/test_order_review_page",
    "tests/test_pages",
    "tests/test_tasks",
)

# Playwright runs an event loop in the thread of the test, which also uses the ORM.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Before anybody serves pages, and once: two at once take files away from under each other.
        collect_static()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test about another engine does not belong to this run: it is left out by name, and counted, not skipped."""
    kept, left = [], []
    for item in items:
        engines = [BACKENDS_OF_MARK[mark.name] for mark in item.iter_markers() if mark.name in BACKENDS_OF_MARK]
        wanted = all(BACKEND in names for names in engines)
        if BACKEND == "timescaledb" and item.nodeid.startswith(PLAIN):
            wanted = False
        if item.get_closest_marker("browser") and browser_path() is None:
            # The runner says so at the end, and fails in CI.
            wanted = False
        if item.get_closest_marker("patroni") and etcd_path() is None and not in_ci():
            # The runner says so at the end; in CI they run, and fail.
            wanted = False
        if item.get_closest_marker("node") and not has_node() and not in_ci():
            # Likewise.
            wanted = False
        if any(not has_tool(mark.args[0]) for mark in item.iter_markers("tool")) and not in_ci():
            # Likewise.
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


@pytest.fixture(autouse=True)
def _policy_of_the_tests(settings: object) -> None:
    settings.EMO_POLICY_FILE = PROJECT / "tests" / "policy.yaml"  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _quick_passwords(settings: object) -> None:
    """A password that is slow to guess is slow to make, and most tests make several people."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _no_report_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process shares its renderings of the reports among all viewers."""
    from monitoring.health import SharedRun
    from reporting.shared_report import SharedReport
    from reporting.shared_review import SharedReviews
    from reporting.strategy_cache import SharedStrategies

    monkeypatch.setattr("reporting.views._shared", SharedReport(SharedRun(max_age=5.0)))
    monkeypatch.setattr("reporting.views._reviews", SharedReviews())
    monkeypatch.setattr("reporting.strategy_views._shared", SharedStrategies())
    monkeypatch.setattr("reporting.api._system", SharedReport(SharedRun(max_age=5.0)))
    monkeypatch.setattr("reporting.api._reviews", SharedReviews())
    monkeypatch.setattr("reporting.api._strategies", SharedStrategies())


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """After a test with real transactions every table is emptied, the groups included, which a migration made."""
    post_migrate.connect(_groups_again, sender=apps.get_app_config("reporting"), dispatch_uid="groups again")


@pytest.fixture(scope="session", autouse=True)
def _append_only_tables_are_emptied_too() -> Iterator[None]:
    """Django empties tables after a test with real transactions, which the append-only ones refuse."""
    flush = BaseDatabaseOperations.execute_sql_flush

    def in_spite(operations: BaseDatabaseOperations, statements: list[str]) -> None:
        with released(*protected_models(operations.connection), on=operations.connection):
            flush(operations, statements)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", in_spite)
        yield


def _groups_again(*, using: str, plan: object = None, **kwargs: object) -> None:
    # `migrate` names a plan, `flush` has none.
    if plan is None and using == DEFAULT_DB_ALIAS:
        importlib.import_module("reporting.migrations.0002_groups").create_groups(apps, connection.schema_editor())
        seen = importlib.import_module("reporting.migrations.0003_groups_see_retention")
        seen.let_groups_see(apps, connection.schema_editor())
        importlib.import_module("reporting.migrations.0004_risk_officer").let_groups(apps, connection.schema_editor())
        alerts = importlib.import_module("reporting.migrations.0005_groups_and_alerts")
        alerts.let_groups(apps, connection.schema_editor())
        importlib.import_module("reporting.migrations.0006_groups_see_jobs").let_groups(
            apps, connection.schema_editor()
        )
        importlib.import_module("reporting.migrations.0009_groups_see_the_api").let_groups_see(
            apps, connection.schema_editor()
        )


@pytest.fixture
def emptied_afterwards(transactional_db: None) -> None:
    """For tests with real transactions: every table is empty after them."""
