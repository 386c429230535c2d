"""Restores a backup beside the live databases, proves the copies, and swaps them in; or throws them away again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db.migrations.loader import MigrationLoader

from emo_site.db.backup import archive, postgresql, session, sqlite
from emo_site.db.backup.errors import CouldNot, NotProven
from emo_site.db.backup.facts import Heads
from emo_site.db.backup.keys import Keys
from emo_site.db.backup.manifest import DatabaseFacts, Manifest
from emo_site.db.backup.proof import Examined, examine
from emo_site.db.backup.session import Settings
from emo_site.db.health import missing_migrations

Copy = postgresql.Copy | sqlite.Copy


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one database of the archive goes: the copy beside, the live name, and what the live one is kept as."""

    copy: Copy
    live: str
    kept: str


@dataclass(frozen=True, kw_only=True)
class Restored:
    """`kept` are the names of the databases that were live until now, `notes` what did not work afterwards."""

    examined: tuple[Examined, ...]
    kept: tuple[str, ...]
    notes: tuple[str, ...]


# ---- what may be restored -------------------------------------------------------------------------------------------


def unknown_migrations(manifest: Manifest) -> list[str]:
    """Migrations in the backup that this code does not have: a newer desk made it."""
    loader = MigrationLoader(None)
    replaced = {each for migration in loader.disk_migrations.values() for each in migration.replaces}
    known = {f"{app}.{name}" for app, name in {*loader.disk_migrations, *replaced}}
    return sorted({name for facts in manifest.databases for name in facts.migrations} - known)


def migrations_to_run(facts: DatabaseFacts) -> list[str]:
    """What `migrate_all` has to do in this database after the restore, in order."""
    applied = {(app, name) for app, _, name in (each.partition(".") for each in facts.migrations)}
    return missing_migrations(facts.alias, applied)


def refuse_strangers(manifest: Manifest, *, environment: str, allowed: str, newer_allowed: bool) -> None:
    """Raises CouldNot for a backup of another environment, or of a newer desk, unless that is allowed by name."""
    if manifest.environment not in (environment, allowed):
        raise CouldNot(
            f"the backup is of {manifest.environment}, this desk is {environment}: to restore it here all the same,"
            f" add --allow-environment {manifest.environment}"
        )
    if not newer_allowed and (unknown := unknown_migrations(manifest)):
        raise CouldNot(
            f"the backup is from a newer desk ({manifest.desk_version}), with migrations that this one does not have:"
            f" {', '.join(unknown)}. Update the desk; or add --allow-newer-schema and update it before it is started."
        )


# ---- where it goes --------------------------------------------------------------------------------------------------


def places(
    manifest: Manifest, databases: Mapping[str, Settings], *, programs_in: str, keep_owners: bool, now: datetime
) -> list[Place]:
    """One place for each database of the archive. Raises CouldNot where archive and desk don't fit together."""
    if set(manifest.aliases) != set(databases):
        raise CouldNot(
            f"the archive holds {', '.join(manifest.aliases)}; this desk has {', '.join(databases)}. Restore them one"
            " by one with --database, or set EMO_TIMESERIES_URL as it was."
        )
    return [
        _place(facts, databases[facts.alias], programs_in=programs_in, keep_owners=keep_owners, now=now)
        for facts in manifest.databases
    ]


def _place(facts: DatabaseFacts, settings: Settings, *, programs_in: str, keep_owners: bool, now: datetime) -> Place:
    here = "postgresql" if session.is_server(settings) else "sqlite"
    there = "sqlite" if facts.engine == "sqlite" else "postgresql"
    if here != there:
        raise CouldNot(f"{facts.alias}: the backup is of {there}, this desk's database is {here}")
    live, stamp = str(settings["NAME"]), f"{now:%Y%m%d_%H%M%S}"
    copy: Copy
    if here == "sqlite":
        # Where the desk reaches the file by a link, the link stays and the file stays on its disk.
        live = str(Path(live).resolve())
        copy = sqlite.Copy(facts.alias, f"{live}.restore_{stamp}")
        return Place(copy=copy, live=live, kept=f"{live}.before_{stamp}")
    copy = postgresql.Copy(
        alias=facts.alias,
        settings=settings,
        name=f"{live}_restore_{stamp}",
        programs_in=programs_in,
        like=live,
        keep_owners=keep_owners,
    )
    return Place(copy=copy, live=live, kept=f"{live}_before_{stamp}")


def scratch(
    manifest: Manifest, *, server: Settings | None, folder: Path, programs_in: str, now: datetime
) -> dict[str, Copy]:
    """A scratch copy for each database of the archive: on `server`, or as files in `folder`. Raises CouldNot."""
    copies: dict[str, Copy] = {}
    for facts in manifest.databases:
        if facts.engine == "sqlite":
            copies[facts.alias] = sqlite.Copy(facts.alias, str(folder / f"{facts.alias}.sqlite"))
        elif server is None:
            raise CouldNot(
                f"{facts.alias}: the backup is of PostgreSQL, and there is no server to try it on: set"
                " EMO_BACKUP_SCRATCH_URL, whose user needs CREATEDB"
            )
        else:
            # Room for the rest within the 63 bytes of a name.
            name = f"{str(server['NAME'])[:24]}_verify_{facts.alias[:10]}_{now:%y%m%d%H%M%S%f}"
            copies[facts.alias] = postgresql.Copy(facts.alias, server, name, programs_in)
    return copies


# ---- doing it -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def filled(
    path: Path, keys: Keys, copies: Mapping[str, Copy], *, heads: Heads
) -> Iterator[tuple[list[Examined], contextlib.ExitStack]]:
    """The copies, made from the archive and examined. They are removed on the way out, unless the stack is emptied.

    Raises NotProven where the archive is not whole or does not go in, CouldNot where it can't be tried.
    """
    with contextlib.ExitStack() as removals, archive.opened(path, keys) as opened:
        dumped = set()
        for name, dump in opened.dumps():
            alias = name.partition(".")[0]
            dumped.add(alias)
            if alias in copies:
                copy, facts = copies[alias], opened.manifest.of(alias)
                copy.create(facts)
                removals.callback(copy.remove)
                copy.fill(facts, dump)
        if missing := [alias for alias in copies if alias not in dumped]:
            raise NotProven([f"the archive holds no dump of {alias}" for alias in missing])
        examined = []
        for alias, copy in copies.items():
            with copy.connected() as connection:
                examined.append(examine(connection, opened.manifest.of(alias), heads=heads))
        yield examined, removals


def restore(path: Path, keys: Keys, chosen: list[Place], *, heads: Heads) -> Restored:
    """Fills and proves the copies, then swaps all of them in, or none. Raises NotProven or CouldNot."""
    copies = {place.copy.alias: place.copy for place in chosen}
    with filled(path, keys, copies, heads=heads) as (examined, removals):
        if problems := [problem for each in examined for problem in each.problems]:
            raise NotProven(problems)
        kept = tuple(place.kept for place in chosen if place.copy.live_exists(place.live))
        _swap_all(chosen)
        removals.pop_all()
    return Restored(examined=tuple(examined), kept=kept, notes=tuple(_start_all(chosen)))


def _swap_all(chosen: list[Place]) -> None:
    with contextlib.ExitStack() as undo:
        for place in chosen:
            place.copy.take_place_of(place.live, kept=place.kept)
            undo.callback(place.copy.give_place_back, place.live, kept=place.kept)
        undo.pop_all()


def _start_all(chosen: list[Place]) -> Iterator[str]:
    for place in chosen:
        try:
            place.copy.start(place.live)
        except CouldNot as error:
            yield str(error)
