"""The probes of access: what the desk's own session could do, and who can get at its files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from emo_site import file_modes
from emo_site.db.access import Access, look_at_access
from emo_site.db.aliases import is_replica
from emo_site.db.health import own_connection
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import unreachable

_LISTED = 4


def _named(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


@dataclass(frozen=True, kw_only=True)
class AccessProbe:
    """Does the desk run with more privileges than it needs, or over a connection that others can listen to?

    In dev, where one person is everybody, it is told and not warned of.
    """

    alias: str
    critical = False

    @property
    def name(self) -> str:
        return f"access:{self.alias}"

    def run(self) -> Finding:
        try:
            with own_connection(self.alias) as connection:
                found = look_at_access(connection)
        except DatabaseError as error:
            return unreachable(self.alias, error)
        metrics = asdict(found)
        if found.unreadable:
            return Finding(
                status=HealthStatus.ERROR,
                message=f"{found.user} may not read {_named(found.unreadable)}.",
                remedy=_OF_A_REPLICA if is_replica(self.alias) else _GRANTS,
                metrics=metrics,
            )
        problems = _too_much(found) + _unprotected(found)
        if problems and settings.EMO_ENV != "dev":
            return Finding(
                status=HealthStatus.WARNING,
                message="; ".join(problem for problem, _ in problems),
                remedy=" ".join(dict.fromkeys(remedy for _, remedy in problems)),
                metrics=metrics,
            )
        way = found.tls or ("not encrypted" if found.over_network else "on this machine")
        noted = f" (dev: {'; '.join(problem for problem, _ in problems)})" if problems else ""
        return Finding(status=HealthStatus.HEALTHY, message=f"as {found.user}, {way}{noted}", metrics=metrics)


_ROLES = "Give the desk the URL of PREFIX_app, made by manage.py create_roles."
_GRANTS = "Run manage.py create_roles as a superuser, or manage.py migrate_all as the migrator."
_OF_A_REPLICA = "Name PREFIX_app in EMO_REPLICA_URLS: who sees a page from a replica must be known to be logged in."


def _too_much(found: Access) -> list[tuple[str, str]]:
    """What the session may do that the desk never does, with what to do about it."""
    if found.is_superuser:
        return [(f"{found.user} is a superuser", _ROLES)]
    problems = []
    if found.makes_roles:
        problems.append((f"{found.user} may make roles", _ROLES))
    if found.owned:
        problems.append((f"{found.user} owns {_named(found.owned)}", _ROLES))
    elif found.rewritable:
        problems.append((f"{found.user} may change or remove rows of {_named(found.rewritable)}", _ROLES))
    return problems


def _unprotected(found: Access) -> list[tuple[str, str]]:
    problems = []
    if found.over_network and found.tls is None:
        problems.append(("the connection is not encrypted", "Add sslmode=verify-full to the URL."))
    if not found.checksums:
        problems.append(
            ("the server keeps no data checksums", "Stop the server, run pg_checksums --enable, start it again.")
        )
    return problems


@dataclass(frozen=True, kw_only=True)
class FilesProbe:
    """Can others on this machine read secrets, database files, backups or quarantined rows?"""

    name = "files"
    critical = False

    def run(self) -> Finding:
        paths = _private_paths()
        found = file_modes.exposed(paths)
        metrics = {"looked_at": [str(path) for path in paths], "exposed": found}
        if not found:
            return Finding(status=HealthStatus.HEALTHY, message="others can't get at them", metrics=metrics)
        message = f"Others can get at {_named(found)}."
        if settings.EMO_ENV == "dev":
            return Finding(status=HealthStatus.HEALTHY, message=f"dev: {message}", metrics=metrics)
        return Finding(
            status=HealthStatus.WARNING,
            message=message,
            remedy="chmod 600 files and 700 folders, and let the desk's own user own them.",
            metrics=metrics,
        )


def _private_paths() -> list[Path]:
    databases = [Path(str(each["NAME"])) for each in settings.DATABASES.values() if "sqlite" in each["ENGINE"]]
    beside = [path.with_name(path.name + suffix) for path in databases for suffix in ("", "-wal", "-shm")]
    data: Path = settings.EMO_DATA_DIR
    return [*dict.fromkeys([data, settings.EMO_BACKUP_DIR, *beside, *map(Path, settings.EMO_SECRET_FILES)])]
