"""A SQLAlchemy engine over connections of the desk's own making: its URL, TLS, time-outs and role, and no others.

SQLAlchemy is no requirement of the desk; programs that want it install requirements-legacy.txt.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.db import connections
from psycopg import Connection

from emo_site.db.connections import OwnConnection
from emo_site.db.health import own_connection
from emo_site.db.urls import hosts_of, masked

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Django's cursors bind parameters on the client and its adapters know Django's types; SQLAlchemy has its own of both.
_DJANGOS_OWN = frozenset({"cursor_factory", "context"})


class NotInstalled(ImportError):
    """A package that only the old names need is missing; the message names it and the command that installs it."""


def needed(package: str) -> ModuleType:
    """The package, by the name it is imported by. Raises NotInstalled."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise NotInstalled(
            f"{package} is not installed, and only the old names need it: pip install -r requirements-legacy.txt",
            name=package,
        ) from error


@cache
def engine(alias: str) -> Engine:
    """The one engine of this database. It keeps no connection open, so that each is made as the desk makes its own:
    to the newest primary, and never one that a fork shares. Raises NotInstalled.
    """
    alchemy = needed("sqlalchemy")
    connect: Callable[[str], Connection[Any] | sqlite3.Connection]
    if connections[alias].vendor == "sqlite":
        connect, address = _sqlite, alchemy.URL.create("sqlite", database=str(connections[alias].settings_dict["NAME"]))
    else:
        connect, address = _postgresql, alchemy.make_url(url(alias)).set(password=None)
    made: Engine = alchemy.create_engine(address, creator=partial(connect, alias), poolclass=alchemy.pool.NullPool)
    return made


def url(alias: str, *, with_password: bool = False) -> str:
    """The database as SQLAlchemy spells it; passwords are *** unless they are asked for."""
    database = connections[alias].settings_dict
    if connections[alias].vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    place, query = _place(database)
    options = {key: value for key, value in database["OPTIONS"].items() if key != "pool"}
    query += [f"{key}={quote(str(value), safe=',/')}" for key, value in options.items()]
    secret = f":{quote(database['PASSWORD'], safe='')}" if database["PASSWORD"] else ""
    who = f"{quote(database['USER'], safe='')}{secret}@" if database["USER"] or secret else ""
    whole = f"postgresql+psycopg://{who}{place}/{quote(str(database['NAME']), safe='')}?{'&'.join(query)}"
    return whole if with_password else masked(whole)


def _place(database: dict[str, Any]) -> tuple[str, list[str]]:
    """Of one server its host and port; what SQLAlchemy wants as options instead: several of them, or a socket."""
    hosts = hosts_of(database)
    if len(hosts) > 1:
        return "", [f"host={quote(f'{host}:{port}' if port else host, safe=':/')}" for host, port in hosts]
    [(host, port)] = hosts
    if host.startswith("/"):
        return "", [f"host={quote(host, safe='/')}", *([f"port={port}"] if port else [])]
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host, []


def _postgresql(alias: str) -> Connection[Any]:
    parameters = connections[alias].get_connection_params()
    kept = {key: value for key, value in parameters.items() if key not in _DJANGOS_OWN}
    made = OwnConnection.connect(**kept, autocommit=True)
    with _closed_on_error(made):
        # As on the desk's own: a time without an offset is UTC.
        made.execute("SET TIME ZONE 'UTC'")
        made.autocommit = False
    return made


def _sqlite(alias: str) -> sqlite3.Connection:
    # It refuses where the file is missing or can't be written: connecting would make an empty one.
    with own_connection(alias) as wrapper:
        parameters = wrapper.get_connection_params()
    made = sqlite3.connect(
        parameters["database"],
        timeout=parameters["timeout"],
        isolation_level=wrapper.transaction_mode,  # type: ignore[attr-defined]
        check_same_thread=False,
        uri=True,
    )
    with _closed_on_error(made):
        for command in ("PRAGMA foreign_keys = ON", *wrapper.init_commands):  # type: ignore[attr-defined]
            if command.strip():
                made.execute(command)
    return made


@contextmanager
def _closed_on_error(connection: Connection[Any] | sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
