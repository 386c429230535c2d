"""What a backup says about itself: versions, migrations, row counts, structure and audit trails per database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from emo_site.db.backup.errors import CouldNot, NotProven

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Trail:
    """One append-only table: `sha256` over all its rows in key order, `head` of its chain where it has one."""

    columns: tuple[str, ...]
    rows: int
    last_id: str
    sha256: str
    head: str = ""


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """One database as one snapshot saw it.

    `tables` are row counts, `hypertables` counts of chunks, `sequences` the next number of each, `structure` the
    names of valid constraints, indexes and triggers, `trails` by model ("orders.OrderEvent").
    """

    alias: str
    engine: str
    server_version: str
    server_major: int
    extension_version: str = ""
    client_version: str = ""
    client_major: int = 0
    migrations: tuple[str, ...]
    tables: Mapping[str, int]
    structure: tuple[str, ...]
    sequences: Mapping[str, int]
    hypertables: Mapping[str, int] = field(default_factory=dict)
    trails: Mapping[str, Trail] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


@dataclass(frozen=True, kw_only=True)
class Manifest:
    made_at: datetime
    environment: str
    desk_version: str
    databases: tuple[DatabaseFacts, ...]

    @property
    def aliases(self) -> list[str]:
        return [facts.alias for facts in self.databases]

    def of(self, alias: str) -> DatabaseFacts:
        return next(facts for facts in self.databases if facts.alias == alias)

    def only(self, alias: str) -> Manifest:
        """The same with one of its databases; raises CouldNot where it has no such."""
        if alias not in self.aliases:
            raise CouldNot(f"--database={alias}: the archive holds {', '.join(self.aliases)}")
        return replace(self, databases=(self.of(alias),))

    def dump(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, default=_plain, indent=1).encode()

    @classmethod
    def load(cls, text: bytes) -> Manifest:
        """Raises NotProven where it is not a manifest, CouldNot where a newer desk wrote it."""
        try:
            read = json.loads(text)
            if read.pop("format") != FORMAT:
                raise CouldNot("the archive has a format that this version of the desk does not know: use a newer one")
            databases = tuple(_database(each) for each in read.pop("databases"))
            return cls(made_at=datetime.fromisoformat(read.pop("made_at")), databases=databases, **read)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotProven([f"the manifest can't be read ({type(error).__name__}: {error})"]) from error


def _database(read: dict[str, Any]) -> DatabaseFacts:
    trails = {
        label: Trail(**{**trail, "columns": tuple(trail["columns"])}) for label, trail in read.pop("trails").items()
    }
    if not str(read["alias"]).isidentifier():
        # It becomes a part of file names.
        raise ValueError(f"alias={read['alias']!r} is no name of a database")
    migrations, structure = tuple(read.pop("migrations")), tuple(read.pop("structure"))
    return DatabaseFacts(**read, migrations=migrations, structure=structure, trails=trails)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in a manifest")
