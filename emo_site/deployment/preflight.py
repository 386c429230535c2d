"""What must hold before anything is changed. Each check looks, changes nothing, and says what it saw."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.utils.module_loading import import_string

from emo_site.db import migration, role_proof, roles
from emo_site.db.access import look_at_access
from emo_site.db.backup import desk, keys
from emo_site.db.backup.errors import CouldNot
from emo_site.db.health import applied_migrations, own_connection

# Of settings.PROBES those whose error forbids a deployment: no room, and no backup to go back to.
PROBES = ("monitoring.probes.DiskProbe", "monitoring.backup_probes.BackupsProbe")
BACKUPS = PROBES[1]
# The new archive, and as much again for what a migration writes.
ROOM_FOR_BACKUPS = 2


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one check came to: `said` where all is well, else each problem with its remedy."""

    name: str
    said: str = ""
    problems: tuple[str, ...] = ()


def run() -> list[Check]:
    """All of them, whatever each comes to: who deploys wants the whole list at once."""
    named: list[tuple[str, Callable[[], tuple[str, Sequence[str]]]]] = [
        ("settings", _settings),
        ("migrations", _migrations),
        ("TLS to the databases", _tls),
        ("roles", _roles),
        ("room for the backup", _room),
        ("key of the backups", _key),
        ("disk and backups", _probes),
    ]
    return [_checked(name, look) for name, look in named]


def _checked(name: str, look: Callable[[], tuple[str, Sequence[str]]]) -> Check:
    try:
        said, problems = look()
    except (DatabaseError, CouldNot) as error:
        return Check(name=name, problems=(_first_line(error),))
    return Check(name=name, said=said, problems=tuple(problems))


def _settings() -> tuple[str, Sequence[str]]:
    """`check --deploy`, which is for what others reach: not in dev."""
    deployed = settings.EMO_ENV != "dev"
    # Looking at a SQLite file that is not there would make it.
    there = [alias for alias in migration.aliases() if migration.exists(alias)]
    found = checks.run_checks(include_deployment_checks=deployed, databases=there)
    bad = [each for each in found if each.level >= checks.WARNING and not each.is_silenced()]
    words = [f"{each.id}: {each.msg}" + (f" {each.hint}" if each.hint else "") for each in bad]
    return f"complete for {settings.EMO_ENV}, no warning of check{' --deploy' if deployed else ''}", words


def _migrations() -> tuple[str, Sequence[str]]:
    loader = MigrationLoader(None)
    problems = [
        f"{app}: {', '.join(names)} follow the same migration; merge them with makemigrations --merge"
        for app, names in loader.detect_conflicts().items()
    ]
    known = {f"{app}.{name}" for app, name in loader.disk_migrations}
    replaced = {f"{app}.{name}" for each in loader.disk_migrations.values() for app, name in each.replaces}
    waiting = 0
    for alias in migration.aliases():
        found = migration.pending(alias)
        waiting += len(found.migrations)
        problems += [f"{alias}: {each}; restore a backup" for each in found.missing if not each.mendable]
        if newer := sorted(set(applied(alias)) - known - replaced):
            problems.append(f"{alias}: {', '.join(newer)} was applied by newer code; deploy that, or go back with it")
    return f"every database answers, {waiting} migrations to apply", problems


def _tls() -> tuple[str, Sequence[str]]:
    said, problems = [], []
    for alias in _servers():
        with own_connection(alias) as connection:
            found = look_at_access(connection)
        said.append(f"{alias}: {found.tls or ('not encrypted' if found.over_network else 'on this machine')}")
        if found.over_network and found.tls is None and settings.EMO_ENV != "dev":
            problems.append(f"{alias}: the connection is not encrypted; add sslmode=verify-full to its URL")
    return ", ".join(said) or "no database server", problems


def _roles() -> tuple[str, Sequence[str]]:
    said, problems = [], []
    for alias in _servers():
        with own_connection(alias) as connection:
            connection.ensure_connection()
            mine, wrong = _roles_of(connection)
        said.append(f"{alias}: {mine}")
        problems += [f"{alias}: {each}" for each in wrong]
    return ", ".join(said) or "SQLite has none", problems


def _roles_of(connection: BaseDatabaseWrapper) -> tuple[str, list[str]]:
    found, desks = look_at_access(connection), roles.roles_of_session(connection)
    if desks is None:
        if settings.EMO_ENV == "dev":
            return f"{found.user} (dev: one for everything)", []
        return "", [
            f"{found.user} is no migrator; make the roles with manage.py create_roles, deploy as PREFIX_migrator"
        ]
    problems = []
    present = set(roles.tables_of(connection))
    own = {str(model._meta.db_table) for model in apps.get_models(include_auto_created=True)}
    if foreign := sorted((present & own) - set(found.owned)):
        problems.append(f"{desks.migrator} does not own {', '.join(foreign[:4])}; run manage.py create_roles")
    for role in desks.all:
        outcome = role_proof.attributes(connection.connection, role)
        if not outcome.as_expected:
            problems.append(
                f"{role} has {outcome.got}, expected {outcome.attempt.expected}; run manage.py create_roles"
            )
    return f"as {found.user}, {', '.join(desks.all)} as create_roles makes them", problems


def _room() -> tuple[str, Sequence[str]]:
    shelf = desk.shelf()
    newest = next(iter(shelf.backups()), None)
    needed = ROOM_FOR_BACKUPS * newest.bytes if newest else 0
    free = shutil.disk_usage(_existing(shelf.folder)).free
    said = f"{free / 1e6:.0f} MB free in {shelf.folder}"
    if free >= needed:
        return said, []
    return said, [f"{said}, {needed / 1e6:.0f} MB are needed: twice the newest backup; prune or move the backups"]


def _key() -> tuple[str, Sequence[str]]:
    found = keys.for_making(settings.EMO_BACKUP_KEY)
    return f"{len(found.recipients)} there, {'opens' if found.identities else 'does not open'} archives too", []


def _probes() -> tuple[str, Sequence[str]]:
    said, problems = [], []
    fresh = all(not applied(alias) for alias in migration.aliases())
    for path, thresholds in settings.PROBES:
        # A desk that is deployed for the first time has nothing to be backed up.
        if path not in PROBES or (fresh and path == BACKUPS):
            continue
        probe: Any = import_string(path)(**thresholds)
        finding = probe.run()
        line = f"{probe.name}: {finding.message}"
        if finding.status in ("error", "unknown"):
            problems.append(f"{line}. {finding.remedy}")
        said.append(line)
    return "; ".join(said), problems


def applied(alias: str) -> tuple[str, ...]:
    """The migrations of one database, sorted; none where its SQLite file is still to be made."""
    if not migration.exists(alias):
        return ()
    with own_connection(alias) as connection:
        return tuple(sorted(".".join(each) for each in applied_migrations(connection)))


def _servers() -> list[str]:
    return [alias for alias in migration.aliases() if connections[alias].vendor == "postgresql"]


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
