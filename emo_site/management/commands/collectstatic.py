"""manage.py collectstatic: Django's, by one process at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands import collectstatic


class Command(collectstatic.Command):
    """Two at once delete the hashed files of each other, and one of them ends for a file that is not there."""

    def collect(self) -> dict[str, list[Any]]:
        if self.dry_run:
            return super().collect()
        root = Path(settings.STATIC_ROOT)
        root.parent.mkdir(parents=True, exist_ok=True)
        # Beside them: `--clear` removes what is among them. It stays, and the lock ends with its process.
        with root.with_name(f"{root.name}.lock").open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.stderr.write(f"Another process is collecting static files into {root}; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            return super().collect()
