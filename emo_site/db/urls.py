"""A database URL becomes Django settings, or is refused by name with its password masked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import make_conninfo

from emo_site.db import connections, pooler
from emo_site.db.connections import RECONNECT_SECONDS
from emo_site.db.timeouts import ServerTimeouts

ENGINE_POSTGRESQL = "emo_site.db.timescale"
ENGINE_SQLITE = "django.db.backends.sqlite3"

# The bot's configuration spells URLs as SQLAlchemy does.
SCHEMES = {
    "sqlite": "sqlite",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "postgresql+psycopg": "postgresql",
    "postgresql+psycopg2": "postgresql",
}

# A host that drops packets would hang every thread for minutes; with these, libpq gives up within seconds.
NETWORK_DEFAULTS: dict[str, Any] = {
    "tcp_user_timeout": 4000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    # Kerberos is used by whoever asks for it in the URL. Tried on each connection, its library has crashed processes of
    # many threads (psycopg/psycopg#1213).
    "gssencmode": "disable",
}

# libpq takes any text for these and fails only when it connects.
_ALLOWED_OPTIONS = {
    "sslmode": "disable|allow|prefer|require|verify-ca|verify-full",
    "gssencmode": "disable|prefer|require",
    "target_session_attrs": "any|read-write|read-only|primary|standby|prefer-standby",
    "connect_timeout": "[0-9]+",
    "tcp_user_timeout": "[0-9]+",
    "keepalives_idle": "[0-9]+",
    "keepalives_interval": "[0-9]+",
    "keepalives_count": "[0-9]+",
    # Not libpq's, but the desk's own.
    "pooler": pooler.TRANSACTION,
}

# They would say a second time, or where the desk's checks don't look, which server is meant.
_REFUSED_OPTIONS = frozenset({"dbname", "user", "hostaddr", "service", "servicefile"})
_URL_PARTS = frozenset({"ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+]*://")


@dataclass(frozen=True, kw_only=True)
class ConnectionDefaults:
    """What a PostgreSQL URL does not say is so. Timeouts in seconds: to connect (for each host), and for a request to
    wait for a connection of the pool.
    """

    application_name: str
    timeouts: ServerTimeouts
    connect_timeout: int
    pool_min: int
    pool_max: int
    pool_timeout: int


class InvalidDatabaseURL(ImproperlyConfigured):
    """The message names the variable, the URL without its password, and what is wrong."""

    def __init__(self, variable: str, url: str, reason: str) -> None:
        super().__init__(f"{variable}={masked(url)!r} is refused: {reason}")


def masked(url: str) -> str:
    """The URL with its password, and any password among the options, replaced by ***."""
    # It need not be well-formed (those that are refused are mostly not), so all up to the last @ may be a password.
    scheme = _SCHEME.match(url)
    if scheme is None:
        # Not a URL at all: another program's way to name a database, with a password who knows where.
        return "***" if url else ""
    start = scheme.end()
    who, at, place = url[start:].rpartition("@")
    if "?" in who:
        # Either an option or the password holds an @: there is no telling where the secret ends.
        return f"{url[:start]}{re.split('[:?]', who)[0]}:***"
    if ":" in who:
        who = f"{who.partition(':')[0]}:***"
    place, question, options = place.partition("?")
    if not at:
        # Where the host was forgotten, the password stands in the port's place.
        place = re.sub(r":(?!\d{1,5}(?:[,/]|$))[^/,]*", ":***", place)
    return f"{url[:start]}{who}{at}{place}{question}{'&'.join(map(_masked_option, options.split('&')))}"


def _masked_option(option: str) -> str:
    key, equals, _ = option.partition("=")
    return f"{key}{equals}***" if "pass" in unquote(key).lower() else option


def split(urls: str) -> list[str]:
    """A comma-separated list of URLs; a comma inside one (several hosts) is not followed by a scheme."""
    return [url.strip() for url in re.split(r",(?=\s*[a-z][a-z0-9+]*://)", urls, flags=re.IGNORECASE) if url.strip()]


def parse(url: str, *, variable: str, base_dir: Path, defaults: ConnectionDefaults) -> dict[str, Any]:
    """Django's settings of one database.

    `variable` is named in errors. SQLite paths are relative to `base_dir`. Raises InvalidDatabaseURL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise InvalidDatabaseURL(variable, url, f"the scheme must be one of {', '.join(SCHEMES)}")
    if not url.isprintable():
        # The library would drop them without a word, and with them a part of a password.
        raise InvalidDatabaseURL(variable, url, "it holds a line break or another control character")
    known = SCHEMES[scheme.lower()]
    if known == "sqlite" and rest.split("?")[0] not in ("", ":memory:") and not rest.startswith("/"):
        raise InvalidDatabaseURL(variable, url, "a file has no host: three slashes are needed (sqlite:///path)")
    try:
        parsed = environ.Env.db_url_config(f"{known}://{rest}")
    except ValueError:
        # Without its cause: the library's message may quote a part of the URL, and with it a password.
        raise InvalidDatabaseURL(
            variable, url, "it is not a URL of the form scheme://user:password@host:port/name"
        ) from None
    if known == "sqlite":
        return _sqlite(url, parsed, variable=variable, base_dir=base_dir)
    return _postgresql(url, _with_host_of_options(parsed), variable=variable, defaults=defaults)


def hosts_of(database: dict[str, Any]) -> list[tuple[str, str]]:
    """Each host with its port, of Django's settings of a database."""
    return connections.hosts_of({"host": database.get("HOST"), "port": database.get("PORT")})


def each_host(database: dict[str, Any]) -> list[dict[str, Any]]:
    """Settings of several hosts, taken apart: each replica is looked at, left out and read from by itself."""
    # With one host to choose from, the role that it must have would only keep it from being read.
    options = {key: value for key, value in database["OPTIONS"].items() if key != "target_session_attrs"}
    return [{**database, "HOST": host, "PORT": port, "OPTIONS": options} for host, port in hosts_of(database)]


def sqlite(path: Path) -> dict[str, Any]:
    """Settings for a SQLite file: WAL and IMMEDIATE, so that readers and one writer don't lock each other out."""
    return {
        "ENGINE": ENGINE_SQLITE,
        "NAME": str(path),
        "OPTIONS": {
            # Without recursive_triggers, REPLACE would delete rows of an append-only table unseen.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA recursive_triggers=ON;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
        },
    }


def _sqlite(url: str, parsed: dict[str, Any], *, variable: str, base_dir: Path) -> dict[str, Any]:
    name = str(parsed["NAME"])
    if not name or name == ":memory:":
        raise InvalidDatabaseURL(
            variable, url, "a file is needed (sqlite:///path); a database in memory loses every row"
        )
    if parsed.get("OPTIONS") or urlsplit(url).query:
        raise InvalidDatabaseURL(variable, url, "SQLite takes no options here")
    # Windows paths in the bot's files come with a drive letter; they are absolute there and nonsense here.
    return sqlite(base_dir / name)


def _with_host_of_options(parsed: dict[str, Any]) -> dict[str, Any]:
    """libpq's URLs name a socket's folder as ?host=/run/postgresql; it belongs where every host is."""
    options = dict(parsed.get("OPTIONS", {}))
    moved = {
        name.upper(): options.pop(name) for name in ("host", "port") if name in options and not parsed[name.upper()]
    }
    return {**parsed, **moved, "OPTIONS": options}


def _postgresql(url: str, parsed: dict[str, Any], *, variable: str, defaults: ConnectionDefaults) -> dict[str, Any]:
    if not parsed["NAME"]:
        raise InvalidDatabaseURL(variable, url, "the database's name is missing (…/name)")
    if set("/@:,") & set(str(parsed["NAME"])):
        raise InvalidDatabaseURL(
            variable, url, "the name holds /, @, : or a comma (in user and password they are written %2F, %40, %3A)"
        )
    if foreign := sorted(parsed.keys() - _URL_PARTS):
        raise InvalidDatabaseURL(variable, url, f"{', '.join(foreign)} is not an option of libpq")
    ports = str(parsed["PORT"] or "").split(",")
    hosts = str(parsed["HOST"] or "").split(",")
    spoilt = len(hosts) > 1 and any(":" in host and not host.startswith("[") for host in hosts)
    if spoilt or (parsed["PORT"] and (len(ports) != len(hosts) or not all(_is_port(port) for port in ports))):
        raise InvalidDatabaseURL(variable, url, "each host needs a port from 1 to 65535, or none of them")
    if not all(map(_is_host, hosts)):
        raise InvalidDatabaseURL(variable, url, "a part of a host's name is empty, or longer than 63 characters")
    options = {key: str(value) for key, value in parsed.get("OPTIONS", {}).items()}
    if twice := sorted(name for name in options if name.lower() in _REFUSED_OPTIONS | {"host", "port"}):
        raise InvalidDatabaseURL(
            variable, url, f"{', '.join(twice)}: the server is named by the URL's host and port only"
        )
    for key, allowed in _ALLOWED_OPTIONS.items():
        if key in options and not re.fullmatch(allowed, options[key]):
            raise InvalidDatabaseURL(
                variable, url, f"{key} must be {allowed.replace('|', ', ').replace('[0-9]+', 'a whole number')}"
            )
    behind = options.pop("pooler", "") == pooler.TRANSACTION
    if behind and "options" in options:
        raise InvalidDatabaseURL(variable, url, "a pooler passes no options on; they go into its connect_query")
    if behind and len(hosts) == 1 and options.get("target_session_attrs", "any") != "any":
        # libpq would ask, once, and be told what the server was when the pooler first met it (connections.py).
        raise InvalidDatabaseURL(variable, url, "with one host behind a pooler, leave target_session_attrs out")
    try:
        make_conninfo(**options)
    except psycopg.ProgrammingError as error:
        raise InvalidDatabaseURL(variable, url, f"libpq says: {str(error).strip()}") from None
    return {
        "ENGINE": ENGINE_POSTGRESQL,
        "NAME": parsed["NAME"],
        "USER": parsed["USER"] or "",
        "PASSWORD": parsed["PASSWORD"] or "",
        # Brackets belong to the URL, not to libpq's host.
        "HOST": ",".join(host.strip("[]") for host in hosts),
        "PORT": str(parsed["PORT"] or ""),
        # The pool needs CONN_MAX_AGE 0; without health checks a connection that died while idle fails a request.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **NETWORK_DEFAULTS,
            "connect_timeout": defaults.connect_timeout,
            "application_name": defaults.application_name,
            **options,
            **({} if behind else _server_options(options.get("options", ""), defaults.timeouts)),
            "pool": {
                "min_size": defaults.pool_min,
                "max_size": defaults.pool_max,
                "timeout": defaults.pool_timeout,
                "reconnect_timeout": RECONNECT_SECONDS,
            },
        },
        **(pooler.settings() if behind else {}),
    }


def _server_options(given: str, timeouts: ServerTimeouts) -> dict[str, str]:
    # The server takes them in order: what the URL says comes last, and wins. None at all where nothing is to be said:
    # connection poolers such as PgBouncer refuse this parameter unless told otherwise.
    joint = f"{timeouts.as_options()} {given}".strip()
    return {"options": joint} if joint else {}


def _is_host(text: str) -> bool:
    """Whether it can be looked up: otherwise trying to is an error that no one takes for an outage."""
    try:
        text.encode("idna")
    except UnicodeError:
        return text.startswith("/")
    return True


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535
