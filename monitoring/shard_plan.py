"""What spreads market events over several servers: what is there, what is to be done, and doing it.

The table of the desk's own database becomes one that is partitioned by the hash of the symbol; each part is the table
of the same name on a shard, which the desk's migrations made there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from emo_site.db import foreign, migration
from emo_site.db.aliases import database_of, shards
from emo_site.db.foreign import Foreign, Partition, foreign_of
from emo_site.db.health import own_connection
from emo_site.db.roles import RolesRefused, Statement, require_superuser
from emo_site.db.timescale.capabilities import look_up
from monitoring.shards import TABLE, name_of

Found = TypeVar("Found")

_BEFORE = f"{TABLE}_before"
_FUNCTION = f"{TABLE}_are_changed_on_shards"
_SETTING = "enable_partitionwise_aggregate=on"
# Through postgres_fdw, which names rows by their place in one table, a change would hit rows of other chunks too.
_REFUSE_CHANGES = (
    f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    f" RAISE EXCEPTION '{TABLE} lies on shards: rows are changed and deleted there'; END $$",
    f"CREATE TRIGGER {_FUNCTION} BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()",
)


class Refused(Exception):
    """Events can't be spread as the settings say; the message says why and what to do. Nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A database that is to hold a part; `says` is what it says that it is, empty where it is new."""

    alias: str
    number: int
    place: Foreign
    version: str
    timescale: str
    unapplied: tuple[str, ...]
    has_events: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class Home:
    """The database of the time series. `spread_by` is the key of its partitions, empty for an ordinary table.

    Names are quoted; `grants` are pairs of a role and its privileges, `indexes` the statements that make them.
    """

    alias: str
    name: str
    unapplied: tuple[str, ...]
    spread_by: str
    has_events: bool
    owner: str
    grants: tuple[tuple[str, str], ...]
    indexes: tuple[str, ...]
    extension_available: bool
    extension_installed: bool
    servers: dict[str, Foreign]
    partitions: dict[str, Partition]
    settings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done, in this order: migrations everywhere, names on the shards, statements at home."""

    home: Home
    shards: tuple[Shard, ...]
    names: dict[str, Statement]
    statements: tuple[Statement, ...]

    @property
    def unapplied(self) -> dict[str, tuple[str, ...]]:
        pending = {self.home.alias: self.home.unapplied, **{each.alias: each.unapplied for each in self.shards}}
        return {alias: names for alias, names in pending.items() if names}

    def __bool__(self) -> bool:
        return bool(self.unapplied or self.names or self.statements)


def plan() -> Plan:
    """Looks only. Raises Refused."""
    aliases = shards()
    if len(aliases) < 2:
        raise Refused(
            f"EMO_MARKET_SHARDS names {len(aliases)} databases: two or more are needed, their URLs separated by commas."
        )
    home = _asked(database_of("monitoring"), _home)
    found = tuple(_asked(alias, _shard) for alias in aliases)
    if reasons := refusals(home, found):
        raise Refused("\n".join(reasons))
    return Plan(
        home=home,
        shards=found,
        names={each.alias: _name(each, len(found)) for each in found if each.says != name_of(each.number, len(found))},
        statements=tuple(_statements(home, found)),
    )


def carry_out(planned: Plan, *, say: Callable[[str], None]) -> None:
    """All that was planned; at home, all or nothing. What was done stays, and the next plan goes on behind it.

    Raises Refused, migration.NotMigrated and Django's database errors.
    """
    if planned.unapplied:
        migration.migrate(wait=300, verbosity=0, stdout=io.StringIO(), say=say)
    for alias, statement in planned.names.items():
        with own_connection(alias) as connection, connection.cursor() as cursor:
            cursor.execute(statement.sql)
    if planned.statements:
        _at_home(planned)


def _at_home(planned: Plan) -> None:
    connection = connections[planned.home.alias]
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        # The desk may be running: rather give up than make it queue up behind us.
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        if not planned.home.spread_by:
            # Between the look and the lock some may have come.
            cursor.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
            if _has_events(connection):
                raise Refused(_events_are_here(planned.home.alias))
        # Passwords stay out of the server's log.
        for setting in (
            "log_statement = 'none'",
            "log_min_duration_statement = -1",
            "log_min_error_statement = 'panic'",
        ):
            cursor.execute(f"SET LOCAL {setting}")
        for statement in planned.statements:
            cursor.execute(statement.sql)


# ---- deciding ----------------------------------------------------------------------------------------------------


def refusals(home: Home, found: Sequence[Shard]) -> list[str]:
    """Every reason why it can't be done, each with what to do."""
    return [*_about_home(home, len(found)), *_versions(found), *_about_shards(found)]


def _about_home(home: Home, count: int) -> Iterator[str]:
    if not home.extension_available:
        yield (
            f"{home.alias}: the server has no {foreign.EXTENSION}. Install PostgreSQL's contrib modules there"
            " (Debian: they are in postgresql-NN) and run the command again."
        )
    if home.spread_by and home.spread_by != "HASH (symbol)":
        yield f"{home.alias}: {TABLE} is partitioned by {home.spread_by}, which this command did not make."
    elif home.spread_by and len(home.partitions) != count:
        yield (
            f"{home.alias}: {TABLE} is spread over {len(home.partitions)} shards, and EMO_MARKET_SHARDS names {count}."
            " Their number can't change while events are there: see docs/scaling-market-data.md."
        )
    elif not home.spread_by and home.has_events:
        yield _events_are_here(home.alias)


def _events_are_here(alias: str) -> str:
    query = f"SELECT to_jsonb(e) FROM {TABLE} e"  # noqa: S608  # for a person
    return (
        f"{alias}: {TABLE} holds events, and they are not moved by themselves. Write them to a file"
        f' (psql -At -v FETCH_COUNT=10000 -c "{query}" > events.jsonl), empty the table (TRUNCATE {TABLE}), run this'
        " command again, then manage.py ingest_events events.jsonl. See docs/scaling-market-data.md."
    )


def _versions(found: Sequence[Shard]) -> Iterator[str]:
    for what, versions in (
        ("PostgreSQL", {each.alias: each.version for each in found}),
        ("TimescaleDB", {each.alias: each.timescale for each in found}),
    ):
        if len(set(versions.values())) > 1:
            said = ", ".join(f"{alias} {version or 'none'}" for alias, version in versions.items())
            yield f"The shards have different versions of {what} ({said}): bring them to one version first."


def _about_shards(found: Sequence[Shard]) -> Iterator[str]:
    for each in found:
        wanted = name_of(each.number, len(found))
        if not each.place.user["password"]:
            yield (
                f"{each.alias}: its URL has no password, and {foreign.EXTENSION} lets nobody but superusers come"
                " without one."
            )
        if each.says and each.says != wanted:
            yield f"{each.alias}: by EMO_MARKET_SHARDS it is {wanted!r}, by its own word {each.says!r}. Keep the order."
        elif not each.says and each.has_events:
            yield f"{each.alias}: its {TABLE} holds events already and it is no shard: name an empty database."


def _name(shard: Shard, count: int) -> Statement:
    text = f"COMMENT ON TABLE {TABLE} IS {foreign.literal(name_of(shard.number, count))}"
    return Statement(sql=text, shown=text)


def _statements(home: Home, found: Sequence[Shard]) -> Iterator[Statement]:
    if not home.extension_installed:
        yield _plain(f"CREATE EXTENSION {foreign.EXTENSION}")
    for shard in found:
        name = f"market_{shard.alias}"
        yield from foreign.statements(name, shard.place, home.servers.get(name))
    if not home.spread_by:
        yield from map(_plain, _parted(home, [shard.alias for shard in found]))
    if _SETTING not in home.settings:
        name, value = _SETTING.split("=")
        # What is summed up by symbol is summed up on the shards.
        yield _plain(f"ALTER DATABASE {home.name} SET {name} = {value}")


def _parted(home: Home, aliases: Sequence[str]) -> Iterator[str]:
    """The parts have no key here: each shard keeps its own, by which an event is on record once."""
    yield f"ALTER TABLE {TABLE} RENAME TO {_BEFORE}"
    yield f"CREATE TABLE {TABLE} (LIKE {_BEFORE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY HASH (symbol)"
    names = [f"{TABLE}_{alias}" for alias in aliases]
    for remainder, (name, alias) in enumerate(zip(names, aliases, strict=True)):
        yield (
            f"CREATE FOREIGN TABLE {name} PARTITION OF {TABLE} FOR VALUES WITH (MODULUS {len(aliases)},"
            f" REMAINDER {remainder}) SERVER market_{alias} OPTIONS (schema_name 'public', table_name '{TABLE}')"
        )
    yield from _REFUSE_CHANGES
    yield f"ALTER TABLE {TABLE} OWNER TO {home.owner}"
    for name in names:
        yield f"ALTER FOREIGN TABLE {name} OWNER TO {home.owner}"
    for role, privileges in home.grants:
        yield f"GRANT {privileges} ON {TABLE} TO {role}"
    yield f"DROP TABLE {_BEFORE}"
    # Of the names alone: nothing lies here. Migrations that change an index find it.
    yield from home.indexes


def _plain(text: str) -> Statement:
    return Statement(sql=text, shown=text)


# ---- looking -----------------------------------------------------------------------------------------------------

_LOOK_OF_TABLE = """
SELECT coalesce(CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, ''),
       quote_ident(pg_get_userbyid(c.relowner))
  FROM pg_catalog.pg_class c WHERE c.oid = to_regclass(%s)
"""
_GRANTS = """
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
       string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)
  FROM pg_catalog.pg_class c, aclexplode(c.relacl) a
 WHERE c.oid = to_regclass(%s) AND a.grantee <> c.relowner GROUP BY 1 ORDER BY 1
"""
_INDEXES = """
SELECT pg_get_indexdef(indexrelid) FROM pg_catalog.pg_index
 WHERE indrelid = to_regclass(%s) AND NOT indisunique ORDER BY 1
"""
_SETTINGS = """
SELECT unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
 WHERE d.datname = current_database() AND s.setrole = 0
"""


def _asked(alias: str, look: Callable[[str, BaseDatabaseWrapper], Found]) -> Found:
    try:
        with own_connection(alias) as connection:
            return look(alias, connection)
    except DatabaseError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Refused(
            f"{alias}: can't be asked ({reason}). Every server must answer before anything is done."
        ) from error


def _home(alias: str, connection: BaseDatabaseWrapper) -> Home:
    try:
        require_superuser(connection)
    except RolesRefused as error:
        raise Refused(str(error)) from error
    look = _rows(connection, _LOOK_OF_TABLE, [TABLE])
    if not look:
        raise Refused(f"{alias}: {TABLE} is not there yet: run manage.py migrate_all.")
    ((spread_by, owner),) = look
    return Home(
        alias=alias,
        name=connection.ops.quote_name(str(connection.settings_dict["NAME"])),
        unapplied=migration.pending(alias).migrations,
        spread_by=spread_by,
        has_events=not spread_by and _has_events(connection),
        owner=owner,
        grants=tuple(_rows(connection, _GRANTS, [TABLE])),
        indexes=tuple(text for (text,) in _rows(connection, _INDEXES, [TABLE])),
        extension_available=foreign.is_available(connection),
        extension_installed=foreign.is_installed(connection),
        servers=foreign.servers(connection, [f"market_{each}" for each in shards()]),
        partitions=foreign.partitions(connection, TABLE),
        settings=tuple(setting for (setting,) in _rows(connection, _SETTINGS, [])),
    )


def _shard(alias: str, connection: BaseDatabaseWrapper) -> Shard:
    ((version, says),) = _rows(
        connection,
        "SELECT current_setting('server_version_num')::int / 10000,"
        " coalesce(obj_description(to_regclass(%s), 'pg_class'), '')",
        [TABLE],
    )
    is_made = bool(_rows(connection, _LOOK_OF_TABLE, [TABLE]))
    can = look_up(connection)
    return Shard(
        alias=alias,
        number=shards().index(alias) + 1,
        place=foreign_of(connection.settings_dict),
        version=str(version),
        timescale=can.installed or can.available or "",
        unapplied=migration.pending(alias).migrations,
        has_events=is_made and _has_events(connection),
        says=says,
    )


def _has_events(connection: BaseDatabaseWrapper) -> bool:
    return bool(_rows(connection, f"SELECT FROM {TABLE} LIMIT 1", []))


def _rows(connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
