"""The old bot's names for its database, its order review and its health report: thin doors to what the desk has now.

Each warns its caller with a DeprecationWarning that names the new way; docs/legacy.md has them all.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import DatabaseError, connections

# standalone first of all that has models: an old program is no manage.py.
from emo_site import command_output, standalone  # noqa: F401
from emo_site.db import alchemy, migration
from emo_site.db.aliases import PRIMARY_ALIAS
from emo_site.db.health import own_connection, require_answer
from emo_site.db.timescale.capabilities import look_up
from emo_site.db.upsert import UpsertRefused, adapted, upsert
from monitoring import health
from reporting import health_report, order_review, rendering, system_check
from reporting.health_report import InstitutionalReport
from reporting.order_report import OrderReview
from reporting.system_check import Verdict

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)

# Seconds. The probes end by themselves long before, unless something hangs.
PROBES_WITHIN = 10.0
CHECK_WITHIN = 30.0
MIGRATION_WAITS = 300.0

# Bytes.
_SIZES = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}

Dictionaries = Sequence[Mapping[str, Any]]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _old(new: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Warns whoever calls; `new` is what to use instead."""

    def door(function: Callable[_P, _R]) -> Callable[_P, _R]:
        name = function.__qualname__.removesuffix(".__init__")

        @wraps(function)
        def warned(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            warnings.warn(f"{name} is an old name: use {new}", DeprecationWarning, stacklevel=2)
            return function(*args, **kwargs)

        return warned

    return door


class DBRouter:
    """The default database, by the names of the first router."""

    @classmethod
    @_old("nothing: connections are made when they are needed")
    def init(cls, force_reconnect: bool = False) -> None:
        """Raises OperationalError where the database does not answer. Nothing is kept that could be made anew."""
        require_answer(PRIMARY_ALIAS)

    @classmethod
    @_old("manage.py healthcheck")
    def test_connection(cls) -> bool:
        return _answers()

    @classmethod
    @_old("django.db.connection")
    def engine(cls) -> Engine:
        return alchemy.engine(PRIMARY_ALIAS)

    @classmethod
    @_old("django.db.connection.vendor")
    def dialect(cls) -> str:
        """sqlite, postgresql, or timescale where that database has the extension. Raises OperationalError."""
        with own_connection(PRIMARY_ALIAS) as connection:
            return "timescale" if look_up(connection).installed is not None else str(connection.vendor)

    @classmethod
    @_old("django.db.connection.cursor()")
    def connect(cls) -> Connection:
        """As a context manager it closes at the end of its block; what was not committed is gone."""
        return alchemy.engine(PRIMARY_ALIAS).connect()

    @classmethod
    @_old("the models, in django.db.transaction.atomic()")
    def session(cls) -> AbstractContextManager[Session]:
        """Commits at the end of its block; an error takes all of it back."""
        return _session()

    @classmethod
    @_old("the models' querysets")
    def fetch_df(cls, sql: str, /, **params: Any) -> DataFrame:
        """The rows of a statement with :name parameters. Whatever else it does is taken back."""
        pandas, text = alchemy.needed("pandas"), alchemy.needed("sqlalchemy").text
        values = {name: adapted(connections[PRIMARY_ALIAS], name, _plain(value)) for name, value in params.items()}
        with alchemy.engine(PRIMARY_ALIAS).connect() as connection:
            found: DataFrame = pandas.read_sql(text(sql), connection, params=values)
            return found

    @classmethod
    @_old("manage.py ingest_events for market events, a table of the program's own for the rest")
    def upsert_df(cls, df: DataFrame, table: str, conflict_columns: Sequence[str] | None = None) -> int:
        """Writes the rows into a table that is not the desk's; returns how many. What is NaN or NaT becomes NULL.

        Without `conflict_columns` they are symbol and ts. Raises UpsertRefused, DatabaseError.
        """
        if not hasattr(df, "itertuples"):
            raise UpsertRefused("df", df, "must be a DataFrame")
        if isinstance(conflict_columns, str):
            raise UpsertRefused("conflict_columns", conflict_columns, "must be a list of names")
        known = df.astype(object).where(df.notna(), None)
        return upsert(
            connections[PRIMARY_ALIAS],
            table,
            columns=list(df.columns),
            key=list(("symbol", "ts") if conflict_columns is None else conflict_columns),
            rows=[[_plain(value) for value in row] for row in known.itertuples(index=False, name=None)],
        )

    @classmethod
    @_old("manage.py healthcheck --json")
    def get_status(cls) -> dict[str, Any]:
        """healthy, dialect, url (without a password), and last_health_check; then database_size_bytes and tables, or
        error where the database does not answer."""
        return _status(datetime.now(UTC))

    @classmethod
    @_old("nothing: each connection ends with its block")
    def close(cls) -> None:
        """Nothing is open between two calls."""


class EnhancedRouter:
    """The default database, by the names of the second router."""

    @_old("manage.py healthcheck")
    def test_connection(self) -> bool:
        return _answers()

    @_old("django.db.connection.cursor()")
    def get_connection(self) -> Connection:
        """As a context manager it closes at the end of its block; what was not committed is gone."""
        return alchemy.engine(PRIMARY_ALIAS).connect()

    @_old("django.db.connection")
    def get_engine(self, force_new: bool = False) -> Engine:
        """The one engine: it keeps no connection that a new one could do without."""
        return alchemy.engine(PRIMARY_ALIAS)

    @_old("EMO_DB_URL")
    def get_database_url(self, *, with_password: bool = False) -> str:
        """As SQLAlchemy spells it; passwords are *** unless they are asked for."""
        return alchemy.url(PRIMARY_ALIAS, with_password=with_password)

    @_old("manage.py migrate_all")
    def migrate_schema(self) -> bool:
        """Migrates every database of the desk; always True, since it raises NotMigrated where that fails."""
        return _migrated()

    @_old("nothing: each connection ends with its block")
    def close(self) -> None:
        """Nothing is open between two calls."""


@_old("django.db.connection")
def get_enhanced_router() -> EnhancedRouter:
    return EnhancedRouter()


@_old("manage.py migrate_all")
def run_migrations(engine: Engine) -> bool:
    """Migrates every database of the desk; always True, since it raises NotMigrated where that fails."""
    if engine is not alchemy.engine(PRIMARY_ALIAS):
        raise ValueError(f"engine={engine!r}: must be the desk's own, as get_enhanced_router().get_engine() gives it")
    return _migrated()


class EnhancedOrderReview:
    """The review of orders that a program has as dictionaries. Files are written below `data_dir`/reports."""

    @_old("reporting.order_review")
    def __init__(self, data_dir: Path | str | None = None) -> None:
        self.data_dir = Path(settings.EMO_DATA_DIR if data_dir is None else data_dir)

    @_old("reporting.order_review.analyze_orders")
    def analyze_orders(self, orders: Dictionaries) -> OrderReview:
        return _reviewed(orders)

    @_old("reporting.order_review.render")
    def generate_html_report(self, orders: Dictionaries, metrics: OrderReview | None = None) -> str:
        """`metrics`: what analyze_orders found of them, to be shown as it is."""
        if metrics is not None and not isinstance(metrics, OrderReview):
            raise TypeError(f"metrics={metrics!r}: must be what analyze_orders gave")
        return order_review.render(_reviewed(orders) if metrics is None else metrics)

    @_old("reporting.order_review.save_report")
    def save_report(self, orders: Dictionaries, filename: str | None = None) -> Path:
        """The path of the HTML file, which takes the place of one of that name. Raises OSError."""
        review = _reviewed(orders)
        name = filename or f"order_review_{review.as_of:%Y%m%d_%H%M%S}.html"
        path = _file(self.data_dir / "reports", name)
        rendering.write(path, order_review.render(review))
        return path


class InstitutionalIntegration:
    """The health of the whole desk. Files are written below `data_dir`/integration."""

    @_old("reporting.health_report")
    def __init__(self, data_dir: Path | str | None = None) -> None:
        self.data_dir = Path(settings.EMO_DATA_DIR if data_dir is None else data_dir)

    @_old("/reports/institutional/, or reporting.health_report.build")
    def check_system_health(self) -> InstitutionalReport:
        """Runs every probe; nothing is recorded."""
        now = datetime.now(UTC)
        return health_report.build(now=now, results=health.run(health.configured(), timeout=PROBES_WITHIN, now=now))

    @_old("manage.py export_report institutional")
    def save_institutional_report(self, filename: str | None = None) -> Path:
        """The path of the HTML file, which takes the place of one of that name. Raises CommandError."""
        return self._saved(filename)

    @_old("manage.py system_check")
    def run_full_system_check(self) -> bool:
        """Whether nothing failed; the log names what did. The institutional report is saved too, as it always was."""
        found = system_check.run(health.configured(), timeout=CHECK_WITHIN, now=datetime.now(UTC))
        for part in found.parts:
            if part.verdict == Verdict.FAIL:
                logger.warning("%s failed: %s", part.name, part.message)
        self._saved(None)
        return found.verdict != Verdict.FAIL

    def _saved(self, filename: str | None) -> Path:
        name = filename or f"institutional_report_{datetime.now(UTC):%Y%m%d_%H%M%S}.html"
        path = _file(self.data_dir / "integration", name)
        # It records who took the report out, and works while the database does not.
        command_output.text("export_report", "institutional", "--output", str(path))
        return path


def _answers() -> bool:
    try:
        require_answer(PRIMARY_ALIAS)
    except DatabaseError as error:
        logger.warning("the database does not answer: %s", str(error).strip())
        return False
    return True


def _status(now: datetime) -> dict[str, Any]:
    status = {
        "dialect": connections[PRIMARY_ALIAS].vendor,
        "url": alchemy.url(PRIMARY_ALIAS),
        "last_health_check": now,
    }
    try:
        with own_connection(PRIMARY_ALIAS) as connection, connection.cursor() as cursor:
            cursor.execute(_SIZES[connection.vendor])
            size = int(cursor.fetchone()[0])
            tables = connection.introspection.table_names(cursor)
            dialect = "timescale" if look_up(connection).installed is not None else connection.vendor
    except DatabaseError as error:
        return {**status, "healthy": False, "error": str(error).strip()}
    return {**status, "dialect": dialect, "healthy": True, "database_size_bytes": size, "tables": tables}


@contextmanager
def _session() -> Iterator[Session]:
    engine = alchemy.engine(PRIMARY_ALIAS)
    made: Session
    with alchemy.needed("sqlalchemy.orm").Session(engine) as made:
        yield made
        made.commit()


def _plain(value: Any) -> Any:
    """A value of pandas or numpy as Python's own."""
    if isinstance(value, datetime) and hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    return value.item() if hasattr(value, "item") else value


def _migrated() -> bool:
    migration.migrate(wait=MIGRATION_WAITS, verbosity=0, stdout=sys.stdout, say=logger.warning)
    return True


def _reviewed(orders: Dictionaries) -> OrderReview:
    if not isinstance(orders, list | tuple):
        raise TypeError(
            f"orders={orders!r}: must be a list of dictionaries; the desk's own: manage.py export_report orders"
        )
    return order_review.analyze_orders(orders)


def _file(folder: Path, name: str) -> Path:
    if name in {".", ".."} or Path(name).name != name:
        raise ValueError(f"filename={name!r}: must be the name of a file, without a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
