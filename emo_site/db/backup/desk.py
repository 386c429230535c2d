"""This desk's backups as its settings have them."""

from __future__ import annotations

import signal
from types import FrameType

from django.conf import settings
from django.db import connections

from emo_site.db.aliases import is_replica
from emo_site.db.backup import session
from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.retention import Keep
from emo_site.db.backup.session import Settings
from emo_site.db.backup.shelf import Shelf


def shelf() -> Shelf:
    return Shelf(settings.EMO_BACKUP_DIR, settings.EMO_ENV)


def keep() -> Keep:
    return Keep(*settings.EMO_BACKUP_KEEP)


def databases(only: str | None = None) -> dict[str, Settings]:
    """Settings by alias; replicas hold what their primary holds. Raises CouldNot for an alias that is not there."""
    found = {alias: dict(connections[alias].settings_dict) for alias in settings.DATABASES if not is_replica(alias)}
    if only is None:
        return found
    if only not in found:
        raise CouldNot(f"--database={only}: known are {', '.join(found)}")
    return {only: found[only]}


def scratch_server() -> Settings | None:
    """The server where backups are tried: EMO_BACKUP_SCRATCH_URL, else the default database's; None with SQLite."""
    if settings.EMO_BACKUP_SCRATCH is not None:
        return dict(settings.EMO_BACKUP_SCRATCH)
    default = databases("default")["default"]
    return default if session.is_server(default) else None


def tidy_up_when_terminated() -> None:
    """SIGTERM, and the end of the terminal, end a command as Ctrl-C does: scratch databases and unfinished files are
    removed on the way out."""
    signal.signal(signal.SIGTERM, _end)
    # Ignored under nohup, and then it stays so.
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _end)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
