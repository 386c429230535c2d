"""Market events over several real servers: planned, carried out, written, read, let go, and with one server lost."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from emo_site.db.foreign import Foreign, Partition
from monitoring import shard_plan
from monitoring.shard_plan import Home, Shard
from tests import servers
from tests.conftest import BACKEND
from tests.desk import Ran, manage
from tests.servers import Server

SYMBOLS = ["SPY", "QQQ", "SPX", "AAPL", "MSFT", "NVDA", "TSLA", "IWM", "AMZN", "META", "SPY   251219P00440000"]
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
ROWS = 4_000


@dataclass
class Desk:
    """The desk's own database and shard 1 are on the first server, shard 2 is on the second."""

    first: Server
    second: Server
    folder: Path
    environment: dict[str, str]
    ran: dict[str, Ran] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    states: list[Any] = field(default_factory=list)

    @property
    def shards(self) -> dict[str, str]:
        return {"shard1": f"{self.first.url.rpartition('/')[0]}/shard_one", "shard2": self.second.url}

    def manage(self, *arguments: str, **changes: str) -> Ran:
        """No password of a server is ever in what a command says."""
        ran = manage(*arguments, environment=self.environment | changes)
        for server in (self.first, self.second):
            password = server.url.partition("//")[2].partition(":")[2].partition("@")[0]
            assert password not in ran.out + ran.err
        return ran

    def ingest(self, file: Path, *arguments: str, **changes: str) -> Ran:
        return self.manage("ingest_events", str(file), "--quarantine", str(self.folder / "q"), *arguments, **changes)

    def ask(self, expression: str) -> Any:
        ran = self.manage("shell", "-v", "0", "-c", f"{QUESTIONS}\nprint(json.dumps({expression}, default=str))")
        assert ran.status == 0, ran.err
        return json.loads(ran.out)

    def on(self, alias: str, statement: str) -> Any:
        with psycopg.connect(self.shards.get(alias, self.first.url), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def count(self, alias: str) -> tuple[int, int]:
        """Rows, and different ids among them, of one server."""
        ((rows, ids),) = self.on(alias, "SELECT count(*), count(DISTINCT id) FROM market_events")
        return rows, ids

    def empty(self) -> None:
        for alias in self.shards:
            self.on(alias, "TRUNCATE market_events")
        self.on("default", "TRUNCATE ingest_checkpoints, retention_runs")


QUESTIONS = f"""
import json
from datetime import UTC, datetime, timedelta
from django.db import DatabaseError
from django.db.models import Count, Sum
from django.test import Client
from monitoring import shards
from monitoring.choices import EventType
from monitoring.models import MarketEvent, RetentionRun
events, at, begin = MarketEvent.objects, datetime.now(UTC), datetime.fromisoformat({BEGIN.isoformat()!r})
symbols = {SYMBOLS!r}

def error_of(question):
    try:
        question()
    except DatabaseError as error:
        return str(error)
"""
ANSWERS = """{
    "count": events.count(),
    "latest": events.latest_prices(symbols, at=at),
    "bars": {each: events.ohlcv(each, begin, at, timedelta(minutes=5)) for each in symbols},
    "facts": vars(events.facts(symbols=symbols, underlyings=["SPY", "QQQ"], at=at, since=begin, quoted=symbols)),
    "one": [getattr(events.latest_price(each, at=at), "id", None) for each in symbols],
    "quotes": {symbol: event.id for symbol, event in events.latest_option_quotes(symbols, at=at).items()},
    "newest": [event.id for event in events.order_by("-timestamp", "-id")[:300]],
    "sums": list(events.values_list("symbol").annotate(Count("id"), Sum("volume")).order_by("symbol")),
    "kinds": list(events.values_list("event_type").annotate(Count("id")).order_by("event_type")),
}"""


def rows_of(seed: int, count: int, *, begin: datetime = BEGIN) -> list[str]:
    """Lines of JSON; the last tenth comes twice."""
    chance = random.Random(seed)
    of_all = {"timestamp": begin.isoformat(), "source": f"feed {seed}"}
    lines = [
        json.dumps({"symbol": "", "event_type": "equity", "price": 100_000 + seed, **of_all}),
        json.dumps({"symbol": "SPY", "event_type": "iv_rank", "price": 0.4, **of_all}),
    ]
    for number in range(count - len(lines)):
        at = (begin + timedelta(seconds=7 * number)).isoformat()
        symbol = chance.choice(SYMBOLS)
        kind = "option_quote" if " " in symbol else chance.choice(["trade", "trade", "quote"])
        price = round(chance.uniform(10, 500), 2)
        event = {"symbol": symbol, "event_type": kind, "timestamp": at, "price": price, "volume": chance.randrange(500)}
        if kind != "trade":
            event["metadata"] = {"bid": price - 1, "ask": price + 1}
        lines.append(json.dumps(event | {"source": f"feed {seed}"}))
    return [*lines, *lines[-count // 10 :]]


def written(folder: Path, name: str, lines: Sequence[str]) -> Path:
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def started() -> Server:
    return servers.timescaledb_server() if BACKEND == "timescaledb" else servers.postgresql_server()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk that had events in its own table, moved them out as it is told to, and spread them."""
    folder = tmp_path_factory.mktemp("shards")
    with started() as first, started() as second:
        desk = Desk(first, second, folder, {"EMO_ENV": "dev", "EMO_DB_URL": first.url})
        desk.on("default", "CREATE DATABASE shard_one")
        desk.on("default", "CREATE ROLE reader")
        assert desk.manage("migrate_all", "--verbosity", "0").status == 0
        desk.on("default", "GRANT SELECT ON market_events TO reader")
        assert desk.ingest(written(folder, "before.jsonl", rows_of(1, ROWS))).status == 0
        desk.plain = desk.ask(ANSWERS)
        desk.environment["EMO_MARKET_SHARDS"] = ",".join(desk.shards.values())
        desk.ran["not yet"] = desk.ingest(folder / "before.jsonl")
        desk.ran["with events"] = desk.manage("shard_events", "--plan")
        # As psql -At prints them.
        events = desk.on("default", "SELECT to_jsonb(e)::text FROM market_events e")
        written(folder, "moved.jsonl", [line for (line,) in events])
        desk.on("default", "TRUNCATE market_events")
        desk.ran["plan"] = desk.manage("shard_events", "--plan")
        desk.ran["plan again"] = desk.manage("shard_events", "--plan")
        desk.ran["done"] = desk.manage("shard_events")
        desk.states.append(state_of(desk))
        desk.ran["twice"] = desk.manage("shard_events")
        desk.states.append(state_of(desk))
        yield desk


def state_of(desk: Desk) -> Any:
    """What the command makes, with the transactions that last changed it."""
    home = desk.on(
        "default",
        "SELECT 'server', srvname::text, xmin::text, srvoptions::text FROM pg_foreign_server UNION ALL"
        " SELECT 'mapping', umserver::text, xmin::text, '' FROM pg_user_mapping UNION ALL"
        " SELECT relkind::text, relname::text, xmin::text, relacl::text FROM pg_class"
        " WHERE relname LIKE 'market_events%' ORDER BY 1, 2",
    )
    comments = "SELECT xmin::text, description FROM pg_description WHERE description LIKE 'EMO Desk%'"
    return home, [desk.on(alias, comments) for alias in desk.shards]


def moved_in(desk: Desk) -> None:
    desk.empty()
    ran = desk.ingest(desk.folder / "moved.jsonl")
    assert (ran.status, f"{ROWS:,} new" in ran.out) == (0, True), ran.out + ran.err


MIGRATIONS = "9 migrations, from monitoring.0001_initial to monitoring.0009_component_states"
WAY = (
    "application_name 'emo-desk market_events', fetch_size '1000', use_remote_estimate 'true', async_capable 'true',"
    " gssencmode 'disable', connect_timeout '2', keepalives_idle '5', keepalives_interval '2', keepalives_count '2',"
    " tcp_user_timeout '4000'"
)
PLAN = f"""\
== manage.py migrate_all
  shard1: {MIGRATIONS}
  shard2: {MIGRATIONS}
== shard1
  COMMENT ON TABLE market_events IS 'EMO Desk: shard 1 of 2';
== shard2
  COMMENT ON TABLE market_events IS 'EMO Desk: shard 2 of 2';
== default
  CREATE EXTENSION postgres_fdw;
  CREATE SERVER market_shard1 FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port 'FIRST', dbname 'shard_one', {WAY});
  CREATE USER MAPPING FOR PUBLIC SERVER market_shard1 OPTIONS (user 'postgres', password '***');
  CREATE SERVER market_shard2 FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port 'SECOND', dbname 'emo', {WAY});
  CREATE USER MAPPING FOR PUBLIC SERVER market_shard2 OPTIONS (user 'postgres', password '***');
  ALTER TABLE market_events RENAME TO market_events_before;
  CREATE TABLE market_events (LIKE market_events_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (symbol);
  CREATE FOREIGN TABLE market_events_shard1 PARTITION OF market_events FOR VALUES WITH (MODULUS 2, REMAINDER 0) SERVER market_shard1 OPTIONS (schema_name 'public', table_name 'market_events');
  CREATE FOREIGN TABLE market_events_shard2 PARTITION OF market_events FOR VALUES WITH (MODULUS 2, REMAINDER 1) SERVER market_shard2 OPTIONS (schema_name 'public', table_name 'market_events');
  CREATE OR REPLACE FUNCTION market_events_are_changed_on_shards() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'market_events lies on shards: rows are changed and deleted there'; END $$;
  CREATE TRIGGER market_events_are_changed_on_shards BEFORE UPDATE OR DELETE ON market_events FOR EACH ROW EXECUTE FUNCTION market_events_are_changed_on_shards();
  ALTER TABLE market_events OWNER TO postgres;
  ALTER FOREIGN TABLE market_events_shard1 OWNER TO postgres;
  ALTER FOREIGN TABLE market_events_shard2 OWNER TO postgres;
  GRANT SELECT ON market_events TO reader;
  DROP TABLE market_events_before;
  CREATE INDEX market_events_symbol ON public.market_events USING btree (symbol, "timestamp" DESC);
  CREATE INDEX market_events_timestamp ON public.market_events USING btree ("timestamp", id);
  ALTER DATABASE "emo" SET enable_partitionwise_aggregate = on;
"""  # noqa: E501  # the command's own lines


@pytest.mark.postgresql
def test_the_plan_is_the_sql_of_each_server_without_secrets_and_changes_nothing(desk: Desk) -> None:
    first, second = (str(server.address[1]) for server in (desk.first, desk.second))
    wanted = PLAN.replace("FIRST", first).replace("SECOND", second)
    assert desk.ran["plan"].out == f"{wanted}Nothing was changed. Run it again without --plan.\n"
    assert desk.ran["plan again"].out == desk.ran["plan"].out
    assert desk.ran["done"].out == f"{wanted}Done: market_events is spread over 2 shards.\n"


@pytest.mark.postgresql
def test_carried_out_twice_it_changes_nothing(desk: Desk) -> None:
    assert (desk.ran["done"].status, desk.ran["twice"].status) == (0, 0)
    assert desk.ran["twice"].out == "Nothing to do: market_events is spread over 2 shards.\n"
    assert desk.states[0] == desk.states[1]


@pytest.mark.postgresql
def test_events_that_are_there_are_refused_with_the_way_to_move_them(desk: Desk) -> None:
    ran = desk.ran["with events"]
    assert ran.status == 2
    assert "default: market_events holds events, and they are not moved by themselves." in ran.err
    assert '-c "SELECT to_jsonb(e) FROM market_events e" > events.jsonl' in ran.err


@pytest.mark.postgresql
def test_nothing_is_written_or_read_before_events_are_spread(desk: Desk) -> None:
    ran = desk.ran["not yet"]
    assert ran.status == 2
    assert "market_events is not spread yet: run manage.py shard_events" in ran.err


@pytest.mark.timescaledb
def test_each_shard_has_a_hypertable(desk: Desk) -> None:
    for alias in desk.shards:
        assert ("market_events",) in desk.on(alias, "SELECT hypertable_name FROM timescaledb_information.hypertables")
    home = desk.on("default", "SELECT hypertable_name FROM timescaledb_information.hypertables")
    assert home == [("system_health",)]
    ran = desk.manage("sync_hypertables")
    assert (ran.status, ran.out) == (0, "default: system_health are hypertables.\n")


@pytest.mark.postgresql
def test_events_that_moved_are_read_as_from_one_table(desk: Desk) -> None:
    moved_in(desk)
    found = desk.ask(ANSWERS)
    assert found["count"] == ROWS
    for question, answer in desk.plain.items():
        assert found[question] == answer, question
    counts = [desk.count(alias) for alias in desk.shards]
    assert sum(rows for rows, _ in counts) == ROWS
    assert all(rows == ids > ROWS // 10 for rows, ids in counts)


@pytest.mark.postgresql
def test_a_symbol_is_on_one_shard_and_the_planner_asks_no_other(desk: Desk) -> None:
    moved_in(desk)
    one, two = (set(desk.on(alias, "SELECT DISTINCT symbol FROM market_events")) for alias in desk.shards)
    assert not one & two
    assert {symbol for (symbol,) in one | two} == {"", *SYMBOLS}
    for symbol in SYMBOLS:
        plan = desk.on("default", f"EXPLAIN SELECT * FROM market_events WHERE symbol = '{symbol}'")
        asked = {alias for alias in desk.shards if f"market_events_{alias}" in str(plan)}
        assert asked == {"shard1" if (symbol,) in one else "shard2"}


@pytest.mark.postgresql
def test_an_event_is_on_record_once_however_often_it_comes(desk: Desk) -> None:
    desk.empty()
    file = written(desk.folder, "twice.jsonl", rows_of(2, 3_000))
    new = desk.ingest(file, "--json")
    assert [json.loads(new.out)["files"][0][key] for key in ("new", "known")] == [3_000, 300], new.out
    known = desk.ingest(file, "--json")
    assert [json.loads(known.out)["files"][0][key] for key in ("new", "known")] == [0, 3_300]
    updated = desk.ingest(file, "--on-conflict", "update", "--json")
    assert json.loads(updated.out)["files"][0]["new"] == 0
    refused = desk.ingest(file, "--on-conflict", "error")
    assert refused.status == 2
    assert f"{file} line 1: id=" in refused.err
    assert sum(desk.count(alias)[0] for alias in desk.shards) == 3_000


@pytest.mark.postgresql
def test_rows_are_not_changed_through_the_table_over_all_shards(desk: Desk) -> None:
    moved_in(desk)
    for statement in (
        "DELETE FROM market_events",
        "UPDATE market_events SET level = 'error' WHERE symbol = 'SPY'",
        "DELETE FROM market_events_shard1",
    ):
        with pytest.raises(psycopg.errors.RaiseException, match="rows are changed and deleted there"):
            desk.on("default", statement)
    assert desk.ask("events.filter(level='info').count()") == ROWS


@pytest.mark.postgresql
def test_the_rehearsal_of_an_order_is_undone_on_the_shards_too(desk: Desk) -> None:
    moved_in(desk)
    ran = desk.manage("system_check", "--json")
    found = {each["name"]: each["verdict"] for each in json.loads(ran.out)["parts"]}
    assert (found["router"], found["review round trip"]) == ("PASS", "PASS"), ran.out
    assert sum(desk.count(alias)[0] for alias in desk.shards) == ROWS


@pytest.mark.postgresql
def test_old_events_go_from_each_shard(desk: Desk) -> None:
    moved_in(desk)
    old = written(desk.folder, "old.jsonl", rows_of(3, 1_000, begin=BEGIN - timedelta(days=60)))
    assert desk.ingest(old).status == 0
    before = {alias: desk.count(alias)[0] for alias in desk.shards}
    dry = desk.manage("apply_retention", "--dry-run", "--json")
    planned = {each["database"]: each["rows"] for each in json.loads(dry.out)["tables"] if each["rows"]}
    assert sum(planned.values()) == 1_000
    assert set(planned) == set(desk.shards)
    ran = desk.manage("apply_retention")
    assert ran.status == 0, ran.err
    for alias, rows in planned.items():
        assert f"market_events on {alias}: {rows:,} rows" in ran.out
        assert desk.count(alias)[0] == before[alias] - rows
    runs = desk.ask("list(RetentionRun.objects.filter(table_name='market_events').values_list('rows', flat=True))")
    assert sorted(runs) == sorted(planned.values())


@pytest.mark.postgresql
def test_a_lost_shard_is_named_and_the_others_are_read_on(desk: Desk) -> None:
    moved_in(desk)
    homes = desk.ask("shards.homes(symbols, using='default')")
    before = desk.count("shard1")
    desk.second.stop()
    try:
        there, lost = homes["shard1"], homes["shard2"]
        found = desk.ask(f"[events.latest_prices({there!r}, at=at), events.filter(symbol={there[0]!r}).count()]")
        assert found[0] == {symbol: price for symbol, price in desk.plain["latest"].items() if symbol in there}
        assert found[1] == next(count for symbol, count, _ in desk.plain["sums"] if symbol == there[0])
        for question in (
            f"events.latest_prices({lost!r}, at=at)",
            f"events.ohlcv({lost[0]!r}, begin, at, timedelta(hours=1))",
            f"events.latest_option_quotes({lost!r}, at=at)",
        ):
            assert desk.ask(f"error_of(lambda: {question})").startswith("shard2: "), question
        ready = "Client(headers={'host': 'localhost'}).get('/readyz').json()['status']"
        assert desk.ask(f"[{ready}]") == ["ready"]
        assert "market_shard2" in desk.ask("error_of(lambda: events.count())")
        file = written(desk.folder, "late.jsonl", rows_of(4, 500))
        ran = desk.ingest(file)
        assert ran.status == 2
        assert "The database can't be used (shard2: " in ran.err
        assert f"Nothing of {file} is on record from this run." in ran.err
        assert desk.count("shard1") == before
        retention = desk.manage("apply_retention")
        assert (retention.status, "CommandError: shard2: " in retention.err) == (2, True)
        plan = desk.manage("shard_events", "--plan")
        assert (plan.status, "shard2: can't be asked (" in plan.err) == (2, True)
    finally:
        desk.second.start()
    again = desk.ingest(file)
    assert (again.status, "500 new" in again.out) == (0, True), again.out + again.err
    counts = [desk.count(alias) for alias in desk.shards]
    assert sum(rows for rows, _ in counts) == sum(ids for _, ids in counts) == ROWS + 500


@pytest.mark.postgresql
def test_a_shard_lost_between_two_commits_is_completed_by_writing_again(desk: Desk) -> None:
    desk.empty()
    # No chunk takes a deferred trigger, so that a table beside fails the transaction of whoever writes events.
    fails = "RAISE EXCEPTION 'the disk is full'"
    desk.on("shard1", "CREATE TABLE IF NOT EXISTS beside (at int)")
    desk.on(
        "shard1",
        f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {fails}; END $$;"
        "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON beside DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION fail();"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO beside VALUES (1); RETURN NULL; END $$;"
        "CREATE TRIGGER note AFTER INSERT ON market_events FOR EACH STATEMENT EXECUTE FUNCTION note()",
    )
    file = written(desk.folder, "cut.jsonl", rows_of(5, 600))
    try:
        cut = desk.ingest(file)
        assert cut.status == 2
        assert "shard1: the disk is full" in cut.err
        assert (desk.count("shard1")[0], desk.count("shard2")[0] > 0) == (0, True)
    finally:
        desk.on("shard1", "DROP TRIGGER note ON market_events; DROP TABLE beside; DROP FUNCTION fail, note")
    assert desk.ingest(file, "--resume").status == 0
    counts = [desk.count(alias) for alias in desk.shards]
    assert sum(rows for rows, _ in counts) == sum(ids for _, ids in counts) == 600


@pytest.mark.postgresql
def test_shards_in_another_order_are_refused(desk: Desk) -> None:
    swapped = {"EMO_MARKET_SHARDS": ",".join(reversed(desk.shards.values()))}
    for ran in (desk.ingest(desk.folder / "before.jsonl", **swapped), desk.manage("shard_events", **swapped)):
        assert ran.status == 2
        assert (
            "by EMO_MARKET_SHARDS it is 'EMO Desk: shard 1 of 2', by its own word 'EMO Desk: shard 2 of 2'" in ran.err
        )


@pytest.mark.postgresql
def test_a_shard_that_moved_is_followed_and_whoever_comes_too(desk: Desk) -> None:
    for alias in desk.shards:
        desk.on(alias, "DROP ROLE IF EXISTS desk_of_shards")
    desk.on("shard2", "CREATE ROLE desk_of_shards SUPERUSER LOGIN PASSWORD 'it''s \\ secret'")
    one, two = desk.shards.values()
    moved = two.replace("127.0.0.1", "localhost").replace(
        two.partition("//")[2].partition("@")[0], "desk_of_shards:it%27s%20%5C%20secret"
    )
    changed = {"EMO_MARKET_SHARDS": f"{one},{moved}"}
    try:
        ran = desk.manage("shard_events", **changed)
        assert ran.status == 0, ran.err
        assert ran.out == (
            "== default\n  ALTER SERVER market_shard2 OPTIONS (SET host 'localhost');\n"
            "  ALTER USER MAPPING FOR PUBLIC SERVER market_shard2 OPTIONS (SET user 'desk_of_shards',"
            " SET password '***');\nDone: market_events is spread over 2 shards.\n"
        )
        desk.on("default", "SELECT count(*) FROM market_events_shard2")
        assert desk.manage("shard_events", **changed).out.startswith("Nothing to do")
    finally:
        assert desk.manage("shard_events").status == 0


@pytest.mark.postgresql
def test_only_a_superuser_spreads_events(desk: Desk) -> None:
    desk.on("default", "DO $$ BEGIN DROP OWNED BY somebody; EXCEPTION WHEN undefined_object THEN NULL; END $$")
    desk.on("default", "DROP ROLE IF EXISTS somebody")
    desk.on("default", "CREATE ROLE somebody LOGIN PASSWORD 'somebody'")
    desk.on("default", "GRANT CONNECT ON DATABASE emo TO somebody")
    host, port = desk.first.address
    ran = desk.manage("shard_events", "--plan", EMO_DB_URL=f"postgresql://somebody:somebody@{host}:{port}/emo")
    assert ran.status == 2
    assert "default: somebody is no superuser." in ran.err


@pytest.mark.postgresql
def test_the_desk_needs_no_more_of_its_server_than_before(desk: Desk) -> None:
    moved_in(desk)
    desk.on("shard1", "DROP TABLE IF EXISTS beside")
    made = desk.manage("create_roles", "--prefix", "kept", EMO_DB_APP_PASSWORD="app", EMO_DB_MIGRATOR_PASSWORD="owner")
    assert made.status == 0, made.out + made.err
    host, port = desk.first.address
    app = {"EMO_DB_URL": f"postgresql://kept_app:app@{host}:{port}/emo"}
    ran = desk.ingest(written(desk.folder, "app.jsonl", rows_of(6, 200)), **app)
    assert (ran.status, "200 new" in ran.out) == (0, True), ran.out + ran.err
    with psycopg.connect(app["EMO_DB_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM market_events").fetchone() == (ROWS + 200,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM market_events_shard1")
    with psycopg.connect(f"postgresql://kept_migrator:owner@{host}:{port}/emo", autocommit=True) as connection:
        # As a migration does; the shards get the same from their own.
        connection.execute("ALTER TABLE market_events ADD COLUMN tried text")
        connection.execute("ALTER TABLE market_events DROP COLUMN tried")


# ---- refusals by what is found ----------------------------------------------------------------------------------

HOME = Home(
    alias="default",
    name='"emo"',
    unapplied=(),
    spread_by="",
    has_events=False,
    owner="emo",
    grants=(),
    indexes=(),
    extension_available=True,
    extension_installed=False,
    servers={},
    partitions={},
    settings=(),
)
SHARD = Shard(
    alias="shard1",
    number=1,
    place=Foreign(server={}, user={"user": "emo", "password": "x"}),
    version="17",
    timescale="2.19.3",
    unapplied=(),
    has_events=False,
    says="",
)
SECOND = replace(SHARD, alias="shard2", number=2)
PARTS = {name: Partition(name=name, server="", bound="") for name in ("a", "b", "c")}


@pytest.mark.parametrize(
    ("home", "shards", "reason"),
    [
        (replace(HOME, extension_available=False), [SHARD, SECOND], "default: the server has no postgres_fdw."),
        (replace(HOME, has_events=True), [SHARD, SECOND], "default: market_events holds events"),
        (
            replace(HOME, spread_by="RANGE (timestamp)"),
            [SHARD, SECOND],
            "default: market_events is partitioned by RANGE (timestamp), which this command did not make.",
        ),
        (
            replace(HOME, spread_by="HASH (symbol)", partitions=PARTS),
            [SHARD, SECOND],
            "default: market_events is spread over 3 shards, and EMO_MARKET_SHARDS names 2.",
        ),
        (
            HOME,
            [SHARD, replace(SECOND, version="16")],
            "The shards have different versions of PostgreSQL (shard1 17, shard2 16)",
        ),
        (
            HOME,
            [SHARD, replace(SECOND, timescale="")],
            "The shards have different versions of TimescaleDB (shard1 2.19.3, shard2 none)",
        ),
        (
            HOME,
            [SHARD, replace(SECOND, place=Foreign(server={}, user={"user": "emo", "password": ""}))],
            "shard2: its URL has no password",
        ),
        (HOME, [SHARD, replace(SECOND, has_events=True)], "shard2: its market_events holds events already"),
        (
            HOME,
            [SHARD, replace(SECOND, says="EMO Desk: shard 1 of 2")],
            "shard2: by EMO_MARKET_SHARDS it is 'EMO Desk: shard 2 of 2', by its own word 'EMO Desk: shard 1 of 2'.",
        ),
    ],
)
def test_what_can_not_be_done_is_refused_with_its_reason(home: Home, shards: list[Shard], reason: str) -> None:
    assert shard_plan.refusals(HOME, [SHARD, SECOND]) == []
    (said,) = shard_plan.refusals(home, shards)
    assert said.startswith(reason)


def test_without_shards_there_is_nothing_to_spread(tmp_path: Path) -> None:
    ran = manage(
        "shard_events", "--plan", environment={"EMO_ENV": "dev", "EMO_DB_URL": f"sqlite:///{tmp_path}/desk.sqlite"}
    )
    assert ran.status == 2
    assert "EMO_MARKET_SHARDS names 0 databases: two or more are needed" in ran.err


def test_shards_of_a_desk_on_sqlite_are_refused(tmp_path: Path) -> None:
    environment = {"EMO_ENV": "dev", "EMO_DB_URL": f"sqlite:///{tmp_path}/desk.sqlite"}
    ran = manage(
        "shard_events", environment={**environment, "EMO_MARKET_SHARDS": "postgresql://u:secret@a/x,postgresql://b/x"}
    )
    assert ran.status != 0
    assert "EMO_MARKET_SHARDS=*** is refused: " not in ran.out
    assert "EMO_MARKET_SHARDS='***' is refused: market events are in SQLite here" in ran.err.replace("=***", "='***'")
    assert "secret" not in ran.out + ran.err
