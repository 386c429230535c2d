"""Three roles that can do no more than they need, shown by what the server refuses them."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from emo_site.db.roles import Roles, RolesRefused
from tests.clusters import replicated
from tests.conftest import BACKEND
from tests.desk import Ran, empty_database, manage
from tests.servers import postgresql_server

PASSWORD = "Pw-of-{}-0815"
NAMES = ("migrator", "app", "readonly")


@dataclass
class Desk:
    """An empty database of its own and the names of its roles, which nobody has made yet."""

    superuser: str
    prefix: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")
    timeseries: str = ""

    @property
    def passwords(self) -> dict[str, str]:
        return {f"EMO_DB_{name.upper()}_PASSWORD": PASSWORD.format(name) for name in NAMES}

    def url(self, name: str, url: str = "") -> str:
        parts = urlsplit(url or self.superuser)
        return f"postgresql://{self.prefix}_{name}:{PASSWORD.format(name)}@{parts.hostname}:{parts.port}{parts.path}"

    def environment(self, name: str) -> dict[str, str]:
        if name == "superuser":
            return {"EMO_DB_URL": self.superuser, "EMO_TIMESERIES_URL": self.timeseries}
        own = self.url(name, self.timeseries) if self.timeseries else ""
        return {"EMO_DB_URL": self.url(name), "EMO_TIMESERIES_URL": own}

    def create_roles(self, *arguments: str, passwords: bool = True) -> Ran:
        given = self.passwords if passwords else {}
        return manage(
            "create_roles", "--prefix", self.prefix, *arguments, environment=self.environment("superuser") | given
        )

    def run(self, name: str, *arguments: str) -> str:
        ran = manage(*arguments, environment=self.environment(name))
        assert ran.status == 0, ran.out + ran.err
        return ran.out

    def asked(self, question: str, name: str = "", url: str = "") -> list[tuple[object, ...]]:
        with psycopg.connect(self.url(name) if name else url or self.superuser) as connection:
            return connection.execute(question).fetchall()  # type: ignore[call-overload]


def dropped(desk: Desk) -> None:
    with psycopg.connect(os.environ["EMO_DB_URL"], autocommit=True) as server:
        for name in NAMES:
            server.execute(f"DROP ROLE IF EXISTS {desk.prefix}_{name}")  # type: ignore[call-overload]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with empty_database(tmp_path) as url:
        made = Desk(url)
        yield made
    dropped(made)


@pytest.fixture
def migrated(desk: Desk) -> Desk:
    """As an operator does it: roles first, then the migrator's URL."""
    ran = desk.create_roles()
    assert ran.status == 0, ran.out + ran.err
    desk.run("migrator", "migrate_all", "--verbosity", "0")
    return desk


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The same once for all tests that leave it as it was."""
    with empty_database(tmp_path_factory.mktemp("roles")) as url:
        desk = Desk(url)
        ran = desk.create_roles()
        assert ran.status == 0, ran.out + ran.err
        desk.run("migrator", "migrate_all", "--verbosity", "0")
        yield desk
    dropped(desk)


pytestmark = pytest.mark.postgresql


def test_the_desk_works_as_app_migrates_as_migrator_and_reports_as_readonly(migrated: Desk, tmp_path: Path) -> None:
    # Stages, approves, submits, fills, rejects and cancels through the workflow, and records market events.
    migrated.run("app", "load_demo")
    migrated.run("app", "expire_orders")
    migrated.run("app", "create_admin")
    health = manage("healthcheck", "--database", "default", environment=migrated.environment("app"))
    assert health.status == 0, health.out + health.err
    assert "Recorded" in health.out
    page = tmp_path / "orders.json"
    migrated.run("readonly", "export_report", "orders", "--format", "json", "--output", str(page))
    assert '"total_orders": 10' in page.read_text()
    assert "nothing to apply" in migrated.run("readonly", "migrate_all", "--check")
    [(events,)] = migrated.asked("SELECT count(*) FROM order_events", "app")
    assert events == 19
    with psycopg.connect(migrated.url("app")) as app, pytest.raises(InsufficientPrivilege):
        app.execute("TRUNCATE order_events CASCADE")
    staging = {"EMO_ENV": "staging", "SECRET_KEY": "x" * 60, "EMO_AUDIT_KEY": "a" * 32, "ALLOWED_HOSTS": "desk.example"}
    for name, said in (("app", "healthy"), ("readonly", "healthy"), ("migrator", "warning"), ("superuser", "warning")):
        told = manage("healthcheck", "--no-record", environment=migrated.environment(name) | staging).out
        assert re.search(rf"access:default +{'warning' if 'checksums' in told else said} ", told), told
        assert ("is a superuser" in told, "_migrator owns " in told) == (name == "superuser", name == "migrator")
    proof = migrated.create_roles("--prove")
    assert proof.status == 0, proof.out
    assert re.search(r"_app +TRUNCATE public\.\"order_events\" +refused +refused", proof.out)


@pytest.mark.cluster
def test_roles_are_made_and_proven_and_the_reader_reads_where_a_url_names_several_hosts(tmp_path: Path) -> None:
    with replicated(synchronous=False) as cluster:
        passwords = {f"EMO_DB_{name.upper()}_PASSWORD": name for name in NAMES}
        made = manage("create_roles", environment={"EMO_DB_URL": cluster.url(), **passwords})
        assert made.status == 0, made.out + made.err

        def url(name: str, attributes: str) -> str:
            return f"postgresql://emo_{name}:{name}@{cluster.url(attributes).rpartition('@')[2]}"

        migrated = manage("migrate_all", "--verbosity", "0", environment={"EMO_DB_URL": url("migrator", "read-write")})
        assert migrated.status == 0, migrated.err
        reader = {"EMO_DB_URL": url("readonly", "primary")}
        checked = manage("migrate_all", "--check", environment=reader)
        assert checked.status == 0, checked.out + checked.err
        page = tmp_path / "orders.json"
        exported = manage("export_report", "orders", "--format", "json", "--output", str(page), environment=reader)
        assert exported.status == 0, exported.err
        # The primary, not just any host: there is no other that could be written to.
        cluster.primary.kill()
        exported = manage("export_report", "orders", "--format", "json", "--output", str(page), environment=reader)
        assert exported.status == 2


def test_app_may_do_all_that_the_system_check_does(migrated: Desk) -> None:
    ran = manage("system_check", "--json", environment=migrated.environment("app"))
    found = {each["name"]: each for each in json.loads(ran.out)["parts"]}
    for name in ("router", "report institutional", "report orders", "review round trip", "audit of the round trip"):
        assert found[name]["verdict"] == "PASS", found[name]
    for name in ("locks", "transactions", "vacuum", "storage", "expiry", "chunks"):
        assert found[f"probe {name}:default"]["verdict"] == "PASS", found[f"probe {name}:default"]
    assert "not shown" not in found["probe transactions:default"]["message"]


@pytest.mark.timescaledb
def test_app_makes_chunks_and_cannot_drop_them(migrated: Desk) -> None:
    migrated.run("app", "load_demo")
    assert len(migrated.asked("SELECT show_chunks('market_events')", "app")) == 1
    with psycopg.connect(migrated.url("app")) as app, pytest.raises(InsufficientPrivilege):
        app.execute("SELECT drop_chunks('market_events', now() + interval '1 year')")
    dropped = migrated.asked("SELECT drop_chunks('market_events', now() + interval '1 year')", "migrator")
    assert len(dropped) == 1
    # The owner of the extension is not the migrator: what runs inside the server is a superuser's.
    [(owner,)] = migrated.asked("SELECT pg_get_userbyid(extowner) FROM pg_extension WHERE extname = 'timescaledb'")
    assert owner == "postgres"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_events SET reason = 'better'",
        "DELETE FROM order_events",
        "ALTER TABLE order_events DISABLE TRIGGER ALL",
        "DROP TABLE order_events CASCADE",
        "DELETE FROM executed_orders",
        "UPDATE executed_orders SET fees = 0",
        "DELETE FROM staged_orders",
        "DELETE FROM market_events",
        "INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '9999_x', now())",
        "CREATE TABLE mine (n int)",
        "SET session_replication_role = 'replica'",
    ],
)
def test_app_is_refused(shared: Desk, statement: str) -> None:
    with psycopg.connect(shared.url("app")) as app, pytest.raises(InsufficientPrivilege):
        app.execute(statement)  # type: ignore[call-overload]


def test_reader_neither_writes_nor_sees_sessions(shared: Desk) -> None:
    with psycopg.connect(shared.url("readonly"), autocommit=True) as reader:
        # The setting is the reader's to change, so that it can't be what protects the rows.
        reader.execute("SET default_transaction_read_only = off")
        for statement in (
            "UPDATE staged_orders SET source = ''",
            "SELECT * FROM django_session",
            "SELECT password FROM auth_user",
            "SELECT * FROM auth_user",
            "SELECT secret FROM alert_channels",
            "SELECT url FROM alert_channels",
            "CREATE TEMP TABLE t()",
        ):
            with pytest.raises(InsufficientPrivilege):
                reader.execute(statement)


def test_reader_sees_who_people_are(shared: Desk) -> None:
    with psycopg.connect(shared.url("readonly")) as reader:
        reader.execute("SELECT id, username, email, is_active FROM auth_user")


def test_second_run_finds_nothing_to_grant_and_leaves_everything_as_it_was(shared: Desk) -> None:
    question = (
        "SELECT relname, relacl::text, relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    before = shared.asked(question)
    again = shared.create_roles(passwords=False)
    assert again.status == 0, again.out + again.err
    assert "ON TABLE public." not in again.out
    assert "OWNER TO" not in again.out
    assert shared.asked(question) == before
    # No password was given this time: the ones that are set stay.
    assert shared.asked("SELECT current_user", "app") == [(f"{shared.prefix}_app",)]


def test_tables_that_a_superuser_made_are_handed_to_the_migrator(desk: Desk) -> None:
    desk.run("superuser", "migrate_all", "--verbosity", "0")
    desk.run("superuser", "load_demo")
    ran = desk.create_roles()
    assert ran.status == 0, ran.out + ran.err
    owners = desk.asked(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'S')"
    )
    assert owners == [(f"{desk.prefix}_migrator",)]
    # Indexes, constraints and triggers come along: the migrator can take all of it back and make it anew.
    desk.run("migrator", "migrate", "orders", "0001", "--verbosity", "0")
    desk.run("migrator", "migrate_all", "--verbosity", "0")
    assert desk.create_roles("--prove").status == 0


def test_table_of_a_later_migration_can_be_added_to_only_until_its_grants_are_completed(migrated: Desk) -> None:
    with psycopg.connect(migrated.url("migrator"), autocommit=True) as migrator:
        migrator.execute("CREATE TABLE later (id int)")
    verbs = "has_table_privilege(%s, 'later', '{}')"
    row = ", ".join(verbs.format(verb) for verb in ("INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE"))
    app = f"'{migrated.prefix}_app'"
    assert migrated.asked(f"SELECT {row.replace('%s', app)}") == [(True, True, False, False, False)]
    # An ordinary table, as far as the desk knows: migrate_all gives app the rest.
    out = migrated.run("migrator", "migrate_all")
    assert f'GRANT DELETE, INSERT, SELECT, UPDATE ON TABLE public."later" TO {migrated.prefix}_app' in out
    assert migrated.asked(f"SELECT {row.replace('%s', app)}") == [(True, True, True, True, False)]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("GRANT DELETE ON order_events TO {app}", r'DELETE FROM public."order_events" WHERE false +refused +allowed'),
        ("ALTER ROLE {app} CREATEROLE", r"attributes and memberships +only pg_read_all_stats +only createrole, "),
        ("GRANT pg_write_all_data TO {readonly}", r"only pg_read_all_stats, pg_write_all_data +<- differs"),
        ("GRANT {migrator} TO {app}", r"SET ROLE \w+_migrator +refused +allowed"),
        ("ALTER TABLE order_events OWNER TO {app}", r'DROP TABLE public."order_events" +refused +allowed'),
        ("REVOKE INSERT ON order_events FROM {app}", r'INSERT INTO public."order_events" .* allowed +refused'),
        (
            "GRANT UPDATE (reason) ON order_events TO {app}",
            r'UPDATE \S+ SET "reason" = NULL WHERE false +refused +allowed',
        ),
        ("GRANT SELECT (session_key) ON django_session TO {readonly}", r'SELECT "session_key" .* refused +allowed'),
        ("GRANT SELECT ON auth_user TO {readonly}", r'SELECT "password" FROM public."auth_user" .* refused +allowed'),
        (
            "GRANT TRIGGER ON order_events TO {app}",
            r"nothing to change +REVOKE ALL ON TABLE public.\"order_events\" FROM",
        ),
        (
            "GRANT UPDATE ON ALL SEQUENCES IN SCHEMA public TO PUBLIC",
            r"REVOKE ALL ON SEQUENCE \S+ FROM PUBLIC and \d+ more",
        ),
        ("GRANT UPDATE ON system_health TO {app}", r'UPDATE public."system_health" .* refused +allowed'),
        ("ALTER ROLE {readonly} RESET default_transaction_read_only", r"default_transaction_read_only +on +off"),
    ],
)
def test_role_that_may_do_too_much_or_too_little_is_found(shared: Desk, damage: str, told: str) -> None:
    names = {name: f"{shared.prefix}_{name}" for name in NAMES}
    with psycopg.connect(shared.superuser, autocommit=True) as server:
        server.execute(damage.format(**names))  # type: ignore[call-overload]
    ran = shared.create_roles("--prove")
    assert ran.status == 1, ran.out
    assert re.search(told, ran.out), ran.out
    assert "not as expected" in ran.err
    # The next run puts it right; a membership that somebody else gave is his to take back.
    with psycopg.connect(shared.superuser, autocommit=True) as server:
        if damage.startswith("GRANT {") or "pg_write_all_data" in damage:
            server.execute(damage.replace("GRANT", "REVOKE").replace(" TO ", " FROM ").format(**names))  # type: ignore[call-overload]
    assert shared.create_roles().status == 0


def test_proof_changes_nothing(migrated: Desk) -> None:
    migrated.run("app", "load_demo")
    question = (
        "SELECT (SELECT count(*) FROM order_events), (SELECT count(*) FROM pg_class),"
        " (SELECT count(*) FROM pg_roles WHERE rolname = 'role_proof')"
    )
    # A table that app owns can be truncated by it: the proof does so, and takes it back.
    with psycopg.connect(migrated.superuser, autocommit=True) as server:
        server.execute(f"ALTER TABLE order_events OWNER TO {migrated.prefix}_app")  # type: ignore[call-overload]
    before = migrated.asked(question)
    assert migrated.create_roles("--prove").status == 1
    assert migrated.asked(question) == before


def test_dry_run_shows_the_statements_and_makes_nothing(desk: Desk) -> None:
    ran = desk.create_roles("--dry-run")
    assert ran.status == 0, ran.err
    assert f"would run: ALTER ROLE {desk.prefix}_app LOGIN PASSWORD ***" in ran.out
    assert "Pw-of" not in ran.out + ran.err
    assert desk.asked(f"SELECT count(*) FROM pg_roles WHERE rolname LIKE '{desk.prefix}%'") == [(0,)]


def test_role_without_a_password_cannot_log_in(desk: Desk) -> None:
    assert desk.create_roles(passwords=False).status == 0
    assert desk.asked(f"SELECT rolcanlogin FROM pg_roles WHERE rolname LIKE '{desk.prefix}%'") == [(False,)] * 3
    with pytest.raises(psycopg.OperationalError, match=r"authentication failed"):
        psycopg.connect(desk.url("app"))


def test_password_comes_from_a_file_too(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "app").write_text(PASSWORD.format("app") + "\n")
    given = {"EMO_DB_APP_PASSWORD_FILE": str(tmp_path / "app")}
    ran = manage("create_roles", "--prefix", desk.prefix, environment=desk.environment("superuser") | given)
    assert ran.status == 0, ran.err
    assert desk.asked("SELECT current_user", "app") == [(f"{desk.prefix}_app",)]


def test_others_may_not_connect_to_the_database(shared: Desk) -> None:
    other = f"{shared.prefix}_readonly2"
    with psycopg.connect(shared.superuser, autocommit=True) as server:
        server.execute(f"CREATE ROLE {other} LOGIN PASSWORD 'x'")  # type: ignore[call-overload]
    try:
        parts = urlsplit(shared.superuser)
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(f"postgresql://{other}:x@{parts.hostname}:{parts.port}{parts.path}")
    finally:
        with psycopg.connect(shared.superuser, autocommit=True) as server:
            server.execute(f"DROP ROLE {other}")  # type: ignore[call-overload]


def test_time_series_database_gets_the_same_roles(desk: Desk, tmp_path: Path) -> None:
    with empty_database(tmp_path) as desk.timeseries:
        ran = desk.create_roles()
        assert ran.status == 0, ran.out + ran.err
        desk.run("migrator", "migrate_all", "--verbosity", "0")
        desk.run("app", "load_demo")
        proof = desk.create_roles("--prove", "--verbosity", "2")
        assert proof.status == 0, proof.out
        own = proof.out.split("== timeseries")[1]
        assert re.search(r'_app +DELETE FROM public."market_events" WHERE false +refused +refused', own)


def test_only_a_superuser_makes_roles(shared: Desk) -> None:
    ran = manage("create_roles", "--prefix", shared.prefix, environment=shared.environment("migrator"))
    assert ran.status == 2
    assert f"default: {shared.prefix}_migrator is no superuser" in ran.err


@pytest.mark.parametrize("prefix", ["", "Emo", "a-b", "a;b", 'x"', "pg_x", "9", "x" * 41])
def test_prefix_that_is_no_plain_name_is_refused(prefix: str) -> None:
    with pytest.raises(RolesRefused, match=r"^prefix="):
        Roles(prefix=prefix)


def test_neither_password_nor_verifier_reaches_the_log_of_the_server() -> None:
    if BACKEND != "postgresql":
        return  # The server is this test's own: once is enough.
    with postgresql_server() as server:
        with psycopg.connect(server.url, autocommit=True) as superuser:
            for setting in ("log_statement = 'all'", "log_min_duration_statement = 0"):
                superuser.execute(f"ALTER SYSTEM SET {setting}")  # type: ignore[call-overload]
            superuser.execute("SELECT pg_reload_conf()")
        own = Desk(server.url)
        ran = own.create_roles()
        assert ran.status == 0, ran.err
        log = server.log.read_text()
        assert f"ALTER ROLE {own.prefix}_app NOSUPERUSER" in log
        assert "SCRAM-SHA-256$" not in log
        assert "Pw-of" not in log + ran.out + ran.err
        [(stored,)] = own.asked(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{own.prefix}_app'")
        assert str(stored).startswith("SCRAM-SHA-256$")
