"""Which database holds a symbol's events, where they are spread over several servers (EMO_MARKET_SHARDS).

The database of the time series decides: its table market_events is partitioned by PostgreSQL's hash of the symbol, each
part is the table of the same name on a shard, and PostgreSQL is asked for the part of each symbol that is new to this
process. So what is written to and read from a shard directly never disagrees with what goes through that table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, connections

from emo_site.db.aliases import database_of, shards

TABLE = "market_events"
# Symbols, of all options too: some tens of bytes each.
_KNOWN_AT_MOST = 500_000

_PARTS = """
SELECT c.relkind = 'p' AND pg_get_partkeydef(c.oid) = 'HASH (symbol)',
       (SELECT count(*) FROM pg_catalog.pg_inherits WHERE inhparent = c.oid)
  FROM pg_catalog.pg_class c WHERE c.oid = %s::regclass
"""
_HOMES = """
SELECT wanted.symbol, part.number FROM unnest(%s::varchar[]) AS wanted(symbol)
  JOIN generate_series(0, %s - 1) AS part(number)
    ON satisfies_hash_partition(%s::regclass, %s, part.number, wanted.symbol)
"""
_NAME = "SELECT coalesce(obj_description(to_regclass(%s), 'pg_class'), '')"

_homes: dict[str, str] = {}
_met: set[str] = set()


class ShardsDiffer(DatabaseError):
    """The databases are not what the settings say; the message says what to do. Nothing was read or written."""


def name_of(number: int, count: int) -> str:
    """What a shard says that it is, in the comment of its table; numbers count from 1."""
    return f"EMO Desk: shard {number} of {count}"


def homes(symbols: Iterable[str], *, using: str) -> dict[str, list[str]]:
    """The symbols by the alias of the database to ask about them: `using` itself where it has all of them.

    Raises ShardsDiffer and what the driver raises.
    """
    if not is_spread(using):
        return {using: list(symbols)}
    found: dict[str, list[str]] = defaultdict(list)
    wanted = list(symbols)
    _learn(wanted, using)
    for symbol in wanted:
        found[_homes[symbol]].append(symbol)
    for alias in found:
        _meet(alias)
    return dict(found)


def home(symbol: str, *, using: str) -> str:
    """`homes` of one symbol."""
    return next(iter(homes([symbol], using=using)))


def is_spread(using: str) -> bool:
    """Whether what this database has of market events lies on shards."""
    return bool(shards()) and using == database_of("monitoring")


def holding(using: str) -> list[str]:
    """The databases whose rows are all that `using` shows."""
    return shards() if is_spread(using) else [using]


@contextmanager
def named(alias: str) -> Iterator[None]:
    """Errors of a shard's driver name the shard; those of other databases stay as they are."""
    try:
        yield
    except DatabaseError as error:
        if alias not in shards() or isinstance(error, ShardsDiffer):
            raise
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if text.partition(": ")[0] in shards():
            raise
        raise type(error)(f"{alias}: {text}") from error.__cause__


def _learn(symbols: list[str], using: str) -> None:
    unknown = sorted({symbol for symbol in symbols if symbol not in _homes})
    if not unknown:
        return
    _require_parts(using)
    aliases = shards()
    if len(_homes) + len(unknown) > _KNOWN_AT_MOST:
        _homes.clear()
        unknown = sorted(set(symbols))
    with connections[using].cursor() as cursor:
        cursor.execute(_HOMES, [unknown, len(aliases), TABLE, len(aliases)])
        _homes.update({symbol: aliases[number] for symbol, number in cursor.fetchall()})


def _require_parts(using: str) -> None:
    """Once: a process does not outlive a change of its settings, and the parts change no more often."""
    if using in _met:
        return
    with connections[using].cursor() as cursor:
        cursor.execute(_PARTS, [TABLE])
        is_parted, count = cursor.fetchone()
    if not is_parted:
        raise ShardsDiffer(
            f"{using}: EMO_MARKET_SHARDS is set, and {TABLE} is not spread yet: run manage.py shard_events"
        )
    if count != len(shards()):
        raise ShardsDiffer(f"EMO_MARKET_SHARDS names {len(shards())} databases, and {TABLE} is spread over {count}")
    _met.add(using)


def _meet(alias: str) -> None:
    """A shard is asked once who it is: in another order, the settings would lead each symbol to a wrong one."""
    if alias in _met:
        return
    wanted = name_of(shards().index(alias) + 1, len(shards()))
    with named(alias), connections[alias].cursor() as cursor:
        cursor.execute(_NAME, [TABLE])
        (found,) = cursor.fetchone()
    if found != wanted:
        said = repr(found) if found else "no shard"
        raise ShardsDiffer(f"{alias}: by EMO_MARKET_SHARDS it is {wanted!r}, by its own word {said}")
    _met.add(alias)
