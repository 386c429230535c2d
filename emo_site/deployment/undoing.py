"""Brings databases back to the migrations that a deployment found: backwards, in order, under the migrations' lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TextIO

from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.loader import MigrationLoader

from emo_site.db.aliases import apps_of
from emo_site.db.health import own_connection
from emo_site.db.migration import aliases as migration_aliases
from emo_site.db.migration import outside_pool
from emo_site.db.migration_lock import LockTaken, exclusive
from emo_site.deployment import losses, preflight

Node = tuple[str, str]
Say = Callable[[str], None]


class NoWayBack(Exception):
    """The databases can't be brought back by undoing migrations; the message says why, and what is as it was."""


@dataclass(frozen=True, kw_only=True)
class Undoing:
    """What one database would go through: `migrations` the last first, with what can't be undone and what is lost."""

    alias: str
    migrations: tuple[str, ...]
    irreversible: tuple[str, ...]
    lost: tuple[str, ...]


def plan(alias: str, before: Collection[str]) -> Undoing:
    """Compares a database with what it was; changes nothing. Raises NoWayBack, and what the driver raises."""
    if alias not in migration_aliases():
        raise NoWayBack(f"{alias}: the deployment had this database, and the settings have it no more")
    applied = set(preflight.applied(alias))
    if gone := sorted(set(before) - applied):
        raise NoWayBack(f"{alias}: {', '.join(gone)} was applied before and is not now; migrate forwards first")
    loader = MigrationLoader(None)
    extra = {_node(name) for name in applied - set(before)}
    if unknown := sorted(extra - set(loader.graph.nodes)):
        raise NoWayBack(
            f"{alias}: this code does not have {', '.join(map('.'.join, unknown))}: run the command with the code that"
            " was deployed"
        )
    taken_along = {node for each in extra for node in loader.graph.backwards_plan(each)}
    if others := sorted((taken_along - extra) & {_node(name) for name in applied}):
        raise NoWayBack(f"{alias}: {', '.join(map('.'.join, others))} would go too, and was there before")
    order = [node for node in reversed(_forwards(loader)) if node in extra]
    with own_connection(alias) as connection:
        lost = [line for node in order for line in _lost(loader, node, connection)]
    return Undoing(
        alias=alias,
        migrations=tuple(map(".".join, order)),
        irreversible=tuple(
            f"{'.'.join(node)}: {words}" for node in order for words in losses.irreversible(loader.graph.nodes[node])
        ),
        lost=tuple(lost),
    )


def _lost(loader: MigrationLoader, node: Node, connection: BaseDatabaseWrapper) -> list[str]:
    def count(table: str, column: str) -> int | None:
        name, quoted = connection.ops.quote_name(table), connection.ops.quote_name(column)
        where = f" WHERE {quoted} IS NOT NULL" if column else ""
        with connection.cursor() as cursor:
            if table not in connection.introspection.table_names(cursor):
                return None
            columns = {each.name for each in connection.introspection.get_table_description(cursor, table)}
            if column and column not in columns:
                return None
            cursor.execute(f"SELECT count(*) FROM {name}{where}")  # noqa: S608  # names of our own models
            return int(cursor.fetchone()[0])

    # What lives in another database is lost there, or not.
    if not apps_of(connection.alias, [node[0]]):
        return []
    state = loader.project_state(node, at_end=False)
    found = losses.losses(loader.graph.nodes[node], state, count=count, type_of=lambda field: field.db_type(connection))
    return [f"{'.'.join(node)}: {line}" for line in found]


def undo(
    plans: Sequence[Undoing],
    before: dict[str, Collection[str]],
    *,
    wait: float,
    verbosity: int,
    stdout: TextIO,
    say: Say,
) -> None:
    """Undoes them, the last database first. All locks are had before the first is touched. Raises NoWayBack."""
    done: list[str] = []
    with ExitStack() as locks:
        for each in plans:
            try:
                locks.enter_context(exclusive(each.alias, wait=wait, say=say))
            except (LockTaken, DatabaseError) as error:
                raise NoWayBack(f"{_first_line(error)}. Nothing was undone.") from error
        for each in reversed(plans):
            try:
                _undo_one(each, before[each.alias], verbosity=verbosity, stdout=stdout)
            except (DatabaseError, CommandError, IrreversibleError) as error:
                raise NoWayBack(
                    f"{each.alias}: {_first_line(error)}. It is at its last migration that was undone;"
                    f" brought back: {', '.join(done) or 'none'}"
                ) from error
            done.append(each.alias)
    for each in plans:
        if set(preflight.applied(each.alias)) != set(before[each.alias]):
            raise NoWayBack(f"{each.alias}: it is not at the migrations that are on record")


def _undo_one(each: Undoing, before: Collection[str], *, verbosity: int, stdout: TextIO) -> None:
    order = _forwards(MigrationLoader(None))
    kept = {_node(name) for name in before}
    with outside_pool(each.alias):
        for app_label in dict.fromkeys(name.partition(".")[0] for name in each.migrations):
            target = next((name for app, name in reversed(order) if app == app_label and (app, name) in kept), "zero")
            call_command(
                "migrate",
                app_label,
                target,
                database=each.alias,
                interactive=False,
                verbosity=verbosity,
                stdout=stdout,
            )


def _forwards(loader: MigrationLoader) -> list[Node]:
    """Every migration, in an order in which they can be applied."""
    graph = loader.graph
    return list(dict.fromkeys(node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf)))


def _node(name: str) -> Node:
    app_label, _, migration = name.partition(".")
    return app_label, migration


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
