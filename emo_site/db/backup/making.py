"""Makes a backup: every database held at one moment, then dumped into one archive."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from emo_site.db.backup import archive, postgresql, session, sqlite
from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.facts import Heads
from emo_site.db.backup.keys import Keys
from emo_site.db.backup.manifest import Manifest
from emo_site.db.backup.session import Settings
from emo_site.db.backup.shelf import Shelf


@dataclass(frozen=True, kw_only=True)
class Made:
    """`bytes` on the disk; `cleared` are the remains of killed backups that were removed."""

    path: Path
    manifest: Manifest
    bytes: int
    seconds: float
    cleared: tuple[Path, ...]


def make(
    shelf: Shelf,
    *,
    databases: Mapping[str, Settings],
    keys: Keys,
    heads: Heads,
    programs_in: str,
    desk_version: str,
    now: datetime,
) -> Made:
    """One archive of all `databases` (by alias) on the shelf, which the caller has locked. Raises CouldNot."""
    started = time.monotonic()
    path = shelf.path_for(now)
    if path.exists():
        raise CouldNot(f"{path} exists already")
    cleared = shelf.clear_leftovers()
    with contextlib.ExitStack() as held:
        sources: list[postgresql.Source | sqlite.Source] = []
        for alias, settings in databases.items():
            if session.is_server(settings):
                source = postgresql.source(alias, settings, heads=heads, programs_in=programs_in)
                sources.append(held.enter_context(source))
            else:
                copy = sqlite.source(alias, settings, heads=heads, copy=shelf.scratch_for(path, alias))
                sources.append(held.enter_context(copy))
        manifest = Manifest(
            made_at=now,
            environment=shelf.environment,
            desk_version=desk_version,
            databases=tuple(source.facts for source in sources),
        )
        dumps = [(source.name, source.dump) for source in sources]
        size = archive.write(path, keys=keys, manifest=manifest, dumps=dumps)
    return Made(path=path, manifest=manifest, bytes=size, seconds=time.monotonic() - started, cleared=tuple(cleared))
