"""The old bot's names: each works, warns its caller, and says what is wrong."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import psycopg
import pytest
from django.core.management import CommandError
from django.db import OperationalError, connection
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from emo_site import legacy
from emo_site.db import alchemy, migration
from emo_site.db.upsert import UpsertRefused
from emo_site.legacy import DBRouter, EnhancedOrderReview, InstitutionalIntegration, get_enhanced_router, run_migrations
from monitoring.choices import HealthStatus
from monitoring.models import SystemHealth
from orders.models import OrderAccess
from tests.conftest import BACKEND
from tests.desk import empty_database, environment_of
from tests.run import PROJECT

ORDER = {
    "symbol": "SPY",
    "type": "limit",
    "quantity": 2,
    "value": "880.50",
    "status": "executed",
    "created_at": "2026-11-25T15:30:00Z",
}


@pytest.fixture
def quiet() -> Iterator[None]:
    """For tests of what a name does, not of its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default database does not answer."""

    def refuse(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("emo_site.db.health.require_answer", refuse)
    monkeypatch.setattr(legacy, "require_answer", refuse)
    monkeypatch.setattr(legacy, "own_connection", refuse)


DOORS: dict[str, Callable[[], object]] = {
    "DBRouter.init": DBRouter.init,
    "DBRouter.test_connection": DBRouter.test_connection,
    "DBRouter.engine": DBRouter.engine,
    "DBRouter.dialect": DBRouter.dialect,
    "DBRouter.connect": lambda: DBRouter.connect().close(),
    "DBRouter.session": DBRouter.session,
    "DBRouter.fetch_df": lambda: DBRouter.fetch_df("SELECT 1"),
    "DBRouter.get_status": DBRouter.get_status,
    "DBRouter.close": DBRouter.close,
    "get_enhanced_router": get_enhanced_router,
    "EnhancedOrderReview": EnhancedOrderReview,
    "InstitutionalIntegration": InstitutionalIntegration,
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", DOORS)
def test_a_name_warns_its_caller_and_names_the_new_way(name: str) -> None:
    with pytest.warns(DeprecationWarning, match="is an old name") as warned:
        DOORS[name]()
    [warning] = warned
    assert re.fullmatch(rf"{name} is an old name: use .+", str(warning.message))
    assert warning.filename == __file__


def test_every_name_that_is_not_private_is_a_door() -> None:
    """None of them was forgotten: a method without its warning would be a second way beside the new one."""
    classes = (DBRouter, legacy.EnhancedRouter, EnhancedOrderReview, InstitutionalIntegration)
    own = [
        getattr(item, "__func__", item)
        for kind in classes
        for name, item in vars(kind).items()
        if callable(getattr(item, "__func__", item)) and (name == "__init__" or not name.startswith("_"))
    ]
    assert len(own) == 24
    for function in [*own, get_enhanced_router, run_migrations]:
        assert "is an old name" in inspect.getsource(function.__code__), function


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_both_routers_answer_by_the_desks_own_connections() -> None:
    router = get_enhanced_router()
    assert router.test_connection() is DBRouter.test_connection() is True
    assert router.get_engine() is router.get_engine(force_new=True) is DBRouter.engine() is alchemy.engine("default")
    with router.get_connection() as conn:
        assert conn.execute(text("SELECT 1")).scalar() == 1
    assert conn.closed
    assert DBRouter.dialect() == {"timescaledb": "timescale"}.get(BACKEND, BACKEND)
    DBRouter.close()
    router.close()
    assert DBRouter.connect().execute(text("SELECT 1")).scalar() == 1


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_status_tells_size_and_tables_and_no_password() -> None:
    status = DBRouter.get_status()
    assert status["healthy"] is True
    assert status["database_size_bytes"] > 100_000
    assert {"staged_orders", "market_events"} <= set(status["tables"])
    assert status["last_health_check"].tzinfo is UTC
    password = connection.settings_dict["PASSWORD"]
    assert not password or password not in str(status)


@pytest.mark.usefixtures("quiet", "down")
def test_a_database_that_is_down_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    assert DBRouter.test_connection() is False
    assert get_enhanced_router().test_connection() is False
    assert "connection refused" in caplog.text
    status = DBRouter.get_status()
    assert (status["healthy"], status["error"]) == (False, "connection refused")
    with pytest.raises(OperationalError, match="connection refused"):
        DBRouter.init()
    with pytest.raises(OperationalError, match="connection refused"):
        DBRouter.dialect()


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_a_session_commits_its_block_and_an_error_takes_it_back() -> None:
    add = text("INSERT INTO auth_group (name) VALUES (:name)")
    with DBRouter.session() as session:
        session.execute(add, {"name": "kept"})
    with pytest.raises(IntegrityError), DBRouter.session() as session:
        session.execute(add, [{"name": "lost"}, {"name": "kept"}])
    found = DBRouter.fetch_df("SELECT name FROM auth_group WHERE name IN (:kept, :lost)", kept="kept", lost="lost")
    assert list(found["name"]) == ["kept"]


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_what_is_fetched_goes_by_parameters_and_changes_nothing() -> None:
    evil = "'; DROP TABLE auth_group; --"
    assert DBRouter.fetch_df("SELECT name FROM auth_group WHERE name = :name", name=evil).empty
    before = len(DBRouter.fetch_df("SELECT * FROM auth_group"))
    assert before > 0
    DBRouter.fetch_df("INSERT INTO auth_group (name) VALUES ('sneaked in') RETURNING id")
    assert len(DBRouter.fetch_df("SELECT * FROM auth_group")) == before
    with pytest.raises(UpsertRefused, match=r"name=\{\}: must be a text"):
        DBRouter.fetch_df("SELECT :name", name={})


@pytest.fixture
def bars(transactional_db: None) -> Iterator[None]:
    kind = "timestamptz" if connection.vendor == "postgresql" else "datetime"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE bars (symbol varchar(20), ts {kind}, close numeric(10, 2), volume bigint, note text,"
            " PRIMARY KEY (symbol, ts))"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE bars")


@pytest.mark.usefixtures("quiet", "bars")
def test_a_frame_is_written_with_what_is_not_there_as_null() -> None:
    at = pandas.Timestamp("2026-11-25T10:30:00.123456789-05:00")
    frame = pandas.DataFrame(
        {
            "symbol": ["SPY", "QQQ", "IWM"],
            "ts": [at, at, at],
            "close": [689.5, float("nan"), 240.25],
            "volume": pandas.array([100, None, 5], dtype="Int64"),
            "note": [None, "x", pandas.NA],
        }
    )
    assert DBRouter.upsert_df(frame, "bars") == 3
    frame["close"] = [Decimal("690.75"), None, Decimal(1)]
    assert DBRouter.upsert_df(frame, "bars", conflict_columns=["symbol", "ts"]) == 3
    assert DBRouter.upsert_df(frame.head(0), "bars") == 0
    utc = datetime(2026, 11, 25, 15, 30, 0, 123456, tzinfo=UTC)
    found = DBRouter.fetch_df("SELECT * FROM bars WHERE ts = :at ORDER BY symbol", at=utc)
    rows = found.astype(object).where(found.notna(), None)
    assert list(rows["symbol"]) == ["IWM", "QQQ", "SPY"]
    assert [None if each is None else float(each) for each in rows["close"]] == [1, None, 690.75]
    assert list(rows["volume"]) == [5, None, 100]
    assert list(rows["note"]) == [None, "x", None]


@pytest.mark.usefixtures("quiet", "bars")
@pytest.mark.parametrize(
    ("df", "table", "key", "said"),
    [
        ([{"symbol": "SPY"}], "bars", None, "must be a DataFrame"),
        (pandas.DataFrame({"symbol": ["SPY"]}), "bars", "symbol", "conflict_columns='symbol': must be a list of names"),
        (pandas.DataFrame({"symbol": ["SPY"]}), "bars", None, "must be among the columns; ts is not"),
        (
            pandas.DataFrame({"symbol": ["SPY"]}),
            "staged_orders",
            ["symbol"],
            "table='staged_orders': is the desk's own",
        ),
        (pandas.DataFrame({"symbol": ["SPY"], "ts": [{}]}), "bars", None, "rows[0][ts]={}: must be a text"),
        (pandas.DataFrame({"symbol": ["SPY"], "ts": [1], 7: [1]}), "bars", None, "column=7: must be"),
    ],
)
def test_a_frame_that_can_not_be_written_is_refused(df: Any, table: str, key: Any, said: str) -> None:
    with pytest.raises(UpsertRefused) as refused:
        DBRouter.upsert_df(df, table, conflict_columns=key)
    assert said in str(refused.value)
    assert DBRouter.fetch_df("SELECT * FROM bars").empty


@pytest.mark.usefixtures("quiet")
def test_migrations_are_the_desks_own_and_a_failure_is_never_false(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(migration, "migrate", lambda **given: asked.append(given))
    router = get_enhanced_router()
    assert run_migrations(router.get_engine()) is True
    assert router.migrate_schema() is True
    assert [given["wait"] for given in asked] == [legacy.MIGRATION_WAITS] * 2

    def fail(**_: object) -> None:
        raise migration.NotMigrated("default: permission denied. Nothing was migrated.")

    monkeypatch.setattr(migration, "migrate", fail)
    with pytest.raises(migration.NotMigrated, match="permission denied"):
        router.migrate_schema()


@pytest.mark.postgresql
def test_a_role_that_may_not_migrate_is_told_so(tmp_path: Path) -> None:
    role = f"nobody_{uuid.uuid4().hex[:8]}"
    with empty_database(tmp_path) as url, psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")  # type: ignore[call-overload]
        try:
            code = "from emo_site.legacy import get_enhanced_router; get_enhanced_router().migrate_schema()"
            ran = program(code, {"EMO_DB_URL": f"postgresql://{role}:pw@{url.rpartition('@')[2]}"})
        finally:
            server.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]
        assert ran.returncode == 1
        assert "NotMigrated: default: " in ran.stderr
        assert "permission denied for schema public" in ran.stderr
        assert server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("engine", [None, "engine", create_engine("postgresql+psycopg://emo:verysecret@h/other")])
def test_migrations_of_another_database_are_refused(engine: Any) -> None:
    with pytest.raises(ValueError, match=r"engine=.*: must be the desk's own") as refused:
        run_migrations(engine)
    assert "verysecret" not in str(refused.value)


@pytest.mark.usefixtures("quiet")
def test_orders_as_dictionaries_are_reviewed_and_saved(tmp_path: Path) -> None:
    review = EnhancedOrderReview(tmp_path)
    bad = {**ORDER, "quantity": "many"}
    metrics = review.analyze_orders([ORDER, bad])
    assert (metrics.total_orders, metrics.executed_orders, metrics.total_value) == (1, 1, Decimal("880.50"))
    assert metrics.bad == ("orders[1]: quantity='many': must be a number",)
    html = review.generate_html_report([], metrics)
    assert "orders[1]: quantity=" in html
    assert "$880.50" in html or "880.50" in html
    path = review.save_report([ORDER])
    assert re.fullmatch(r"order_review_\d{8}_\d{6}\.html", path.name)
    assert path.parent == tmp_path / "reports"
    assert review.save_report((ORDER,), filename="mine.html") == tmp_path / "reports" / "mine.html"
    assert "<script" not in path.read_text()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("orders", [None, "SPY", ORDER, 7, {1, 2}])
def test_what_is_no_list_of_orders_is_refused(orders: Any, tmp_path: Path) -> None:
    for call in (EnhancedOrderReview(tmp_path).analyze_orders, EnhancedOrderReview(tmp_path).save_report):
        with pytest.raises(TypeError, match=r"orders=.*: must be a list of dictionaries"):
            call(orders)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", ["../out.html", "/tmp/out.html", "a/b.html", "..", "."])
def test_a_report_is_not_written_outside_its_folder(name: str, tmp_path: Path) -> None:
    for call in (
        lambda: EnhancedOrderReview(tmp_path).save_report([ORDER], filename=name),
        lambda: InstitutionalIntegration(tmp_path).save_institutional_report(name),
    ):
        with pytest.raises(ValueError, match=r"filename=.*: must be the name of a file, without a folder"):
            call()
    assert list(tmp_path.rglob("*.html")) == []


@pytest.mark.usefixtures("quiet")
def test_figures_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"metrics=.*: must be what analyze_orders gave"):
        EnhancedOrderReview(tmp_path).generate_html_report([ORDER], metrics={"total_orders": 1})  # type: ignore[arg-type]


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_health_is_what_the_probes_find_and_a_saved_report_is_recorded_as_an_export(tmp_path: Path) -> None:
    integration = InstitutionalIntegration(data_dir=str(tmp_path))
    status = integration.check_system_health()
    assert status.database_healthy is True
    assert status.total_orders == status.active_orders == 0
    assert status.components
    assert not SystemHealth.objects.exists()
    assert not OrderAccess.objects.exists()
    path = integration.save_institutional_report()
    assert path.parent == tmp_path / "integration"
    assert "</html>" in path.read_text()
    [access] = OrderAccess.objects.all()
    assert access.what == f"institutional report, html: {path}"[:255]
    assert integration.save_institutional_report("mine.html").name == "mine.html"


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_a_folder_that_can_not_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file where a folder should be")
    with pytest.raises(FileExistsError):
        EnhancedOrderReview(tmp_path).save_report([ORDER])
    (tmp_path / "integration" / "mine.html").mkdir(parents=True)
    with pytest.raises(CommandError, match=r"mine\.html: can't be written"):
        InstitutionalIntegration(tmp_path).save_institutional_report("mine.html")


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_the_full_check_names_what_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitoring.health import Finding

    class Broken:
        name, critical = "flux capacitor", True

        def run(self) -> Finding:
            return Finding(status=HealthStatus.ERROR, message="out of plutonium")

    monkeypatch.setattr("monitoring.health.configured", lambda: [Broken()])
    assert InstitutionalIntegration(tmp_path).run_full_system_check() is False
    assert "probe flux capacitor failed: out of plutonium" in caplog.text
    assert len(list((tmp_path / "integration").glob("institutional_report_*.html"))) == 1


@pytest.mark.usefixtures("quiet")
@pytest.mark.django_db(transaction=True)
def test_without_the_extra_only_the_names_that_need_it_are_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alchemy.engine.cache_clear()
    for package in ("sqlalchemy", "pandas"):
        monkeypatch.setitem(sys.modules, package, None)
    router = get_enhanced_router()
    for closed in (DBRouter.engine, DBRouter.connect, router.get_engine, router.get_connection):
        with pytest.raises(alchemy.NotInstalled, match=r"sqlalchemy is not installed.*: pip install -r req"):
            closed()
    with pytest.raises(alchemy.NotInstalled, match="sqlalchemy is not installed"), DBRouter.session():
        pass
    with pytest.raises(alchemy.NotInstalled, match="pandas is not installed"):
        DBRouter.fetch_df("SELECT 1")
    DBRouter.init()
    assert router.test_connection()
    assert DBRouter.get_status()["healthy"]
    assert router.get_database_url()
    assert EnhancedOrderReview(tmp_path).save_report([ORDER]).exists()


def program(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The code as a program of its own, somewhere else."""
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd="/",
        env=environment_of(environment | {"PYTHONPATH": str(PROJECT)}),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_program_that_is_no_manage_py_need_not_start_django() -> None:
    code = "from emo_site.legacy import DBRouter; print(DBRouter.get_status()['dialect'])"
    ran = program(code, {"EMO_DB_URL": "sqlite:////nowhere/at_all.sqlite"})
    assert (ran.returncode, ran.stdout) == (0, "sqlite\n"), ran.stderr
    assert ran.stderr.count("DeprecationWarning: DBRouter.get_status is an old name") == 1
