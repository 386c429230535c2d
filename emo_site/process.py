"""What kind of process this is, by its command line: its name at the database and its time-outs hang on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

# They answer people who wait. Everything else (commands, tests, a shell) may take as long as it takes.
SERVERS = frozenset(
    {"gunicorn", "granian", "uvicorn", "hypercorn", "daphne", "waitress-serve", "uwsgi", "mod_wsgi", "manage-runserver"}
)
# Commands that may see the settings of what serves: they look at them, or make files.
_ASKING_NOTHING = frozenset({"manage-check", "manage-collectstatic"})
# PostgreSQL cuts longer names off (NAMEDATALEN - 1), and the version at the end with them.
MAX_NAME_BYTES = 63

_DJANGO_COMMAND_LINES = frozenset({"manage", "django", "django-admin"})
# PostgreSQL writes ? for what is not printable ASCII; a command's name is somebody's argument.
_FOREIGN = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, kw_only=True)
class Process:
    """`kind` is a program's name, with the command's where it is Django's command line: manage-migrate_all."""

    kind: str
    serving: bool

    @property
    def needs_sessions(self) -> bool:
        """Whether it may hold a lock or a cursor by its session, or take longer than a statement of a page may."""
        return self.kind.startswith("manage-") and not self.serving and self.kind not in _ASKING_NOTHING


def recognise(argv: Sequence[str]) -> Process:
    """The process that was started with these words (sys.argv)."""
    kind = _program(argv[0] if argv else "")
    if kind in _DJANGO_COMMAND_LINES:
        # Django takes nothing but the first word for the command's name.
        command = argv[1] if len(argv) > 1 and not argv[1].startswith("-") else ""
        kind = f"manage-{_FOREIGN.sub('_', command)}" if command else "manage"
    return Process(kind=kind, serving=kind in SERVERS)


def application_name(process: Process, *, environment: str, version: str) -> str:
    """What a server shows in pg_stat_activity: at most 63 bytes, of which a long kind gives way first."""
    around = len(f"emo-{environment}--{version}")
    return f"emo-{environment}-{process.kind[: max(1, MAX_NAME_BYTES - around)]}-{version}"[:MAX_NAME_BYTES]


def _program(first: str) -> str:
    path = PurePath(first)
    # `python -m gunicorn` shows as …/gunicorn/__main__.py, `python -c` as -c.
    name = path.parent.name if path.stem == "__main__" else path.stem
    return _FOREIGN.sub("_", name).strip("_") if name and not name.startswith("-") else "python"
