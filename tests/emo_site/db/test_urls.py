"""A database URL becomes settings, or is refused with its password masked."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emo_site.db import urls
from emo_site.db.timeouts import ServerTimeouts

BASE = Path("/srv/desk")
DEFAULTS = urls.ConnectionDefaults(
    application_name="emo-test",
    timeouts=ServerTimeouts(statement=8, lock=5, idle_in_transaction=60),
    connect_timeout=2,
    pool_min=1,
    pool_max=5,
    pool_timeout=5,
)
TIMEOUTS = "-c statement_timeout=8000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000"
NO_URL = "it is not a URL of the form scheme://user:password@host:port/name"
PORTS = "each host needs a port from 1 to 65535, or none of them"
IN_MEMORY = "a file is needed (sqlite:///path); a database in memory loses every row"
NO_HOST = "a file has no host: three slashes are needed (sqlite:///path)"
HOST = "a part of a host's name is empty, or longer than 63 characters"
SCHEMES = "the scheme must be one of sqlite, postgres, postgresql, postgresql+psycopg, postgresql+psycopg2"


def parse(url: str, **changes: Any) -> dict[str, Any]:
    return urls.parse(url, variable="EMO_DB_URL", base_dir=BASE, defaults=replace(DEFAULTS, **changes))


def place(url: str) -> tuple[str, str, str, str, str]:
    found = parse(url)
    return found["USER"], found["PASSWORD"], found["HOST"], found["PORT"], found["NAME"]


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "POSTGRESQL", "Postgresql+Psycopg2"],
)
def test_every_spelling_of_postgresql_is_taken(scheme: str) -> None:
    assert place(f"{scheme}://emo:pw@db:5433/desk") == ("emo", "pw", "db", "5433", "desk")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://db/desk", ("", "", "db", "", "desk")),
        ("postgresql:///desk", ("", "", "", "", "desk")),
        ("postgresql://emo@db/desk", ("emo", "", "db", "", "desk")),
        ("postgresql://emo:p%40s%2Fs%3A%23@db/desk", ("emo", "p@s/s:#", "db", "", "desk")),
        ("postgresql://emo:pw@[::1]:5432/desk", ("emo", "pw", "::1", "5432", "desk")),
        ("postgresql://emo:pw@h1:5432,h2:5433/desk", ("emo", "pw", "h1,h2", "5432,5433", "desk")),
        ("postgresql://h1,h2/desk", ("", "", "h1,h2", "", "desk")),
        ("postgresql://[::1]:1,[::2]:2/desk", ("", "", "::1,::2", "1,2", "desk")),
    ],
)
def test_parts_of_a_url_land_where_they_belong(url: str, expected: tuple[str, ...]) -> None:
    assert place(url) == expected


def test_connections_are_pooled_checked_and_given_up_on_soon() -> None:
    found = parse("postgresql://db/desk", pool_max=7, pool_min=2, pool_timeout=3, connect_timeout=4)
    assert found["ENGINE"] == "emo_site.db.timescale"
    assert (found["CONN_MAX_AGE"], found["CONN_HEALTH_CHECKS"]) == (0, True)
    assert found["OPTIONS"] == {
        "connect_timeout": 4,
        "tcp_user_timeout": 4000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "gssencmode": "disable",
        "application_name": "emo-test",
        "options": TIMEOUTS,
        "pool": {"min_size": 2, "max_size": 7, "timeout": 3, "reconnect_timeout": urls.RECONNECT_SECONDS},
    }


@pytest.mark.parametrize(
    ("url", "timeouts", "options"),
    [
        # The server takes them in order: the URL's come last and win.
        ("options=-c%20lock_timeout%3D1s", DEFAULTS.timeouts, f"{TIMEOUTS} -c lock_timeout=1s"),
        ("options=-c%20work_mem%3D64MB", ServerTimeouts(), "-c work_mem=64MB"),
        ("sslmode=require", ServerTimeouts(lock=1), "-c lock_timeout=1000"),
        # Connection poolers refuse the parameter; without time-outs none is sent.
        ("sslmode=require", ServerTimeouts(), None),
    ],
)
def test_timeouts_go_with_the_connection_and_the_url_wins(
    url: str, timeouts: ServerTimeouts, options: str | None
) -> None:
    assert parse(f"postgresql://db/desk?{url}", timeouts=timeouts)["OPTIONS"].get("options") == options


def test_a_pooler_is_asked_for_nothing_that_outlives_a_transaction() -> None:
    found = parse("postgresql://db:6432/desk?pooler=transaction&sslmode=require")
    assert found["OPTIONS"].keys().isdisjoint({"options", "pooler"})
    assert (found["POOLER"], found["DISABLE_SERVER_SIDE_CURSORS"], found["OPTIONS"]["sslmode"]) == (
        "transaction",
        True,
        "require",
    )
    assert "POOLER" not in parse("postgresql://db/desk")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("pooler=session", "pooler must be transaction"),
        ("pooler=transaction&options=-c%20lock_timeout%3D1s", "a pooler passes no options on"),
        ("pooler=transaction&target_session_attrs=read-write", "with one host behind a pooler, leave"),
    ],
)
def test_a_pooler_that_is_not_of_that_kind_is_refused(url: str, reason: str) -> None:
    with pytest.raises(urls.InvalidDatabaseURL, match=reason):
        parse(f"postgresql://db/desk?{url}")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql:///desk?host=/run/postgresql", [("/run/postgresql", "")]),
        ("postgresql:///desk?host=h1,h2&port=1,2", [("h1", "1"), ("h2", "2")]),
        ("postgresql://h1,h2/desk", [("h1", ""), ("h2", "")]),
        ("postgresql:///desk", [("", "")]),
    ],
)
def test_hosts_are_found_however_libpq_lets_them_be_spelt(url: str, expected: list[tuple[str, str]]) -> None:
    assert urls.hosts_of(parse(url)) == expected


def test_options_of_the_url_win_over_the_defaults() -> None:
    options = parse("postgresql://db/desk?sslmode=require&connect_timeout=9&application_name=mine")["OPTIONS"]
    assert (options["sslmode"], options["connect_timeout"], options["application_name"]) == ("require", "9", "mine")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///data/desk.sqlite", "/srv/desk/data/desk.sqlite"),
        ("sqlite:////var/desk.sqlite", "/var/desk.sqlite"),
        ("SQLITE:///desk.sqlite", "/srv/desk/desk.sqlite"),
    ],
)
def test_sqlite_file_is_relative_to_the_project(url: str, name: str) -> None:
    found = parse(url)
    assert (found["ENGINE"], found["NAME"]) == ("django.db.backends.sqlite3", name)
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize(
    ("url", "shown", "reason"),
    [
        ("mysql://emo:pw@db/desk", "mysql://emo:***@db/desk", SCHEMES),
        ("postgresql://emo:pw@a..b/desk", "postgresql://emo:***@a..b/desk", HOST),
        (f"postgresql://emo:pw@db,{'a' * 64}/desk", f"postgresql://emo:***@db,{'a' * 64}/desk", HOST),
        ("postgres:emo:pw@db/desk", "***", SCHEMES),
        ("host=h user=u password=pw dbname=d", "***", SCHEMES),
        ("emo:pw@db/desk", "***", SCHEMES),
        ("", "", SCHEMES),
        ("postgresql://emo:pw@db", "postgresql://emo:***@db", "the database's name is missing (…/name)"),
        ("postgresql://emo:pw@db/", "postgresql://emo:***@db/", "the database's name is missing (…/name)"),
        ("postgresql://emo:pw/desk", "postgresql://emo:***/desk", NO_URL),
        ("postgresql://emo:pw@db:x/desk", "postgresql://emo:***@db:x/desk", NO_URL),
        ("postgresql://emo:pw@db:99999/desk", "postgresql://emo:***@db:99999/desk", NO_URL),
        ("postgresql://emo:p/w@db/desk", "postgresql://emo:***@db/desk", NO_URL),
        ("postgresql://h1:1,h2/desk", "postgresql://h1:1,h2/desk", PORTS),
        ("postgresql://h1,h2:2/desk", "postgresql://h1,h2:2/desk", PORTS),
        ("postgresql://h1:1,h2:0/desk", "postgresql://h1:1,h2:0/desk", PORTS),
        ("postgresql://e:pw@h1:x,h2:y/desk", "postgresql://e:***@h1:x,h2:y/desk", PORTS),
        (
            "postgresql://db/desk?pool=true",
            "postgresql://db/desk?pool=true",
            'libpq says: invalid connection option "pool"',
        ),
        (
            "postgresql://db/desk?CONN_MAX_AGE=60",
            "postgresql://db/desk?CONN_MAX_AGE=60",
            "CONN_MAX_AGE is not an option of libpq",
        ),
        (
            "postgresql://db/desk?password=pw&bogus=1",
            "postgresql://db/desk?password=***&bogus=1",
            'libpq says: invalid connection option "bogus"',
        ),
        (
            "postgresql://em/o:pw@db/desk",
            "postgresql://em/o:***@db/desk",
            "the name holds /, @, : or a comma (in user and password they are written %2F, %40, %3A)",
        ),
        (
            "postgresql://emo:p\nw@db/desk",
            "postgresql://emo:***@db/desk",
            "it holds a line break or another control character",
        ),
        (
            "postgresql://db/desk?sslmode=quux",
            "postgresql://db/desk?sslmode=quux",
            "sslmode must be disable, allow, prefer, require, verify-ca, verify-full",
        ),
        (
            "postgresql://db/desk?connect_timeout=soon",
            "postgresql://db/desk?connect_timeout=soon",
            "connect_timeout must be a whole number",
        ),
        (
            "postgresql://emo:pw@db/desk?host=other",
            "postgresql://emo:***@db/desk?host=other",
            "host: the server is named by the URL's host and port only",
        ),
        *(
            (f"postgresql://emo:pw@db/desk?{name}=x", f"postgresql://emo:***@db/desk?{name}=x", reason)
            for name, reason in (
                (name, f"{name}: the server is named by the URL's host and port only")
                for name in ("hostaddr", "service", "dbname", "user")
            )
        ),
        ("sqlite://", "sqlite://", IN_MEMORY),
        ("sqlite:///", "sqlite:///", IN_MEMORY),
        ("sqlite:///:memory:", "sqlite:///:***", IN_MEMORY),
        ("sqlite://:memory:", "sqlite://:***", IN_MEMORY),
        ("sqlite://desk.sqlite", "sqlite://desk.sqlite", NO_HOST),
        ("sqlite://emo:pw@db/desk.sqlite", "sqlite://emo:***@db/desk.sqlite", NO_HOST),
        ("sqlite:///desk.sqlite?timeout=5", "sqlite:///desk.sqlite?timeout=5", "SQLite takes no options here"),
    ],
)
def test_url_that_is_wrong_is_refused_with_its_password_masked(url: str, shown: str, reason: str) -> None:
    with pytest.raises(urls.InvalidDatabaseURL) as error:
        parse(url)
    assert str(error.value) == f"EMO_DB_URL={shown!r} is refused: {reason}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://emo:a@b:c@db/desk", "postgresql://emo:***@db/desk"),
        (
            "postgresql://emo:pw@db:5432/desk?sslpassword=x&sslmode=require",
            "postgresql://emo:***@db:5432/desk?sslpassword=***&sslmode=require",
        ),
        ("postgresql://db/desk?password=a@b&sslmode=require", "postgresql://db/desk:***"),
        ("postgresql://db:5432/desk?password=a@b", "postgresql://db:***"),
        ("postgresql://emo:a?b@db/desk", "postgresql://emo:***"),
        ("postgresql://db/desk?PassWord=x", "postgresql://db/desk?PassWord=***"),
        ("postgresql://db/desk?pass%77ord=x", "postgresql://db/desk?pass%77ord=***"),
        ("postgresql://emo@db/desk", "postgresql://emo@db/desk"),
        ("postgresql://h1:5432,h2:5433/desk", "postgresql://h1:5432,h2:5433/desk"),
    ],
)
def test_masked_url_keeps_everything_but_passwords(url: str, shown: str) -> None:
    assert urls.masked(url) == shown


PASSWORDS = st.text(min_size=1, max_size=12).map(lambda text: f"Pw9{text}9wP")
WRONG = st.sampled_from(
    [
        "{scheme}://emo:{password}@db:x/desk",
        "{scheme}://emo:{password}@db/",
        "{scheme}://emo:{password}@h1:1,h2/desk",
        "{scheme}://emo:{password}@db/desk?bogus=1",
        "{scheme}://db/desk?password={password}&bogus=1",
        "{scheme}://em/o:{password}@db/desk",
        "{scheme}:emo:{password}@db/desk",
        "{scheme}://emo:{password}/desk",
        "{scheme}://:{password}@[::1/desk",
    ]
)
SCHEME = st.sampled_from(["postgresql", "postgres", "sqlite", "mysql", "x y"])


@settings(max_examples=1000)
@given(template=WRONG, scheme=SCHEME, password=PASSWORDS, quoted=st.booleans())
@example(
    template="{scheme}://db/desk?password={password}&bogus=1", scheme="postgresql", password="Pw9@9wP", quoted=False
)
def test_no_password_is_ever_told(template: str, scheme: str, password: str, quoted: bool) -> None:
    url = template.format(scheme=scheme, password=quote(password, safe="") if quoted else password)
    told = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            parse(url)
        except urls.InvalidDatabaseURL as error:
            # With its causes: a traceback in a log shows them too.
            told = "".join(traceback.format_exception(error, limit=0))
    told += "".join(str(warning.message) for warning in warned)
    # Unquoted, a password may hold what a URL takes for its end; its head must not show even then.
    assert "Pw9" not in told
    assert not quoted or "9wP" not in told


@given(st.text(max_size=60), SCHEME)
def test_any_text_is_parsed_or_refused(rest: str, scheme: str) -> None:
    with contextlib.suppress(urls.InvalidDatabaseURL):
        parse(f"{scheme}://{rest}")


@given(
    user=st.text(min_size=1, max_size=10).filter(str.isprintable),
    password=st.text(min_size=1, max_size=20).filter(str.isprintable),
    port=st.integers(1, 65535),
)
def test_quoted_user_and_password_come_back_as_they_were(user: str, password: str, port: int) -> None:
    url = f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@db:{port}/desk"
    assert place(url) == (user, password, "db", str(port), "desk")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , ", [","]),
        ("postgresql://a/x", ["postgresql://a/x"]),
        ("postgresql://a/x,postgresql://b/x", ["postgresql://a/x", "postgresql://b/x"]),
        (" postgres://a/x ,\n postgres://b/x", ["postgres://a/x", "postgres://b/x"]),
        ("POSTGRES://a/x,POSTGRES://b/x", ["POSTGRES://a/x", "POSTGRES://b/x"]),
        ("postgresql://a:1,b:2/x,postgresql+psycopg2://c/x", ["postgresql://a:1,b:2/x", "postgresql+psycopg2://c/x"]),
    ],
)
def test_list_of_urls_is_split_between_them_only(text: str, expected: list[str]) -> None:
    assert urls.split(text) == expected
