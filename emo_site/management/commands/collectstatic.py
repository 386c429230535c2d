"""manage.py collectstatic: Django's, beside what is served, and by one process at a time."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands import collectstatic
from django.core.files.storage import storages


class Command(collectstatic.Command):
    """Every file appears whole, in place of the old one, the manifest last; a failure leaves all as it was.

    Django's writes over files while a running desk sends them, and two at once delete the hashed files of each other.
    Files of earlier releases stay, for pages that were sent before; `--clear` removes them.
    """

    def collect(self) -> dict[str, list[Any]]:
        if self.dry_run:
            return super().collect()
        root = Path(settings.STATIC_ROOT)
        root.parent.mkdir(parents=True, exist_ok=True)
        # It stays, and the lock ends with its process.
        with root.with_name(f"{root.name}.lock").open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.stderr.write(f"Another process is collecting static files into {root}; waiting for it.")
                fcntl.flock(file, fcntl.LOCK_EX)
            beside = root.with_name(f"{root.name}.new")
            # One that was killed left it.
            shutil.rmtree(beside, ignore_errors=True)
            try:
                made: dict[str, Any] = settings.STORAGES["staticfiles"]
                options = {**made.get("OPTIONS", {}), "location": beside}
                self.storage = storages.create_storage({**made, "OPTIONS": options})
                collected = super().collect()
                _move(beside, root, clear=self.clear)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
        return collected


def _move(new: Path, root: Path, *, clear: bool) -> None:
    names = sorted((path.relative_to(new) for path in new.rglob("*") if not path.is_dir()), key=_manifest_last)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).replace(root / name)
    if clear:
        kept = set(names)
        for path in [path for path in root.rglob("*") if not path.is_dir()]:
            if path.relative_to(root) not in kept:
                path.unlink()


def _manifest_last(name: Path) -> tuple[bool, Path]:
    return name.name == "staticfiles.json", name
