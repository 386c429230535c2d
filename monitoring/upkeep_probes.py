"""The probes of what a PostgreSQL server keeps in order by itself, until it no longer does: vacuum and its disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError

from emo_site.db import storage, vacuum
from emo_site.db.health import asked_within
from emo_site.db.storage import Slot, Storage
from emo_site.db.vacuum import Dead, Upkeep
from emo_site.display import age, count
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import not_asked
from monitoring.time_series import size_text

_NAMED = 3
_MIB = 2**20
# (how bad, what is, what to do)
_Problem = tuple[HealthStatus, str, str]


def _summed_up(problems: list[_Problem], *, healthy: str, metrics: dict[str, Any]) -> Finding:
    """The worst of them is the status; all are told, the worst first."""
    if not problems:
        return Finding(status=HealthStatus.HEALTHY, message=healthy, metrics=metrics)
    problems.sort(key=lambda each: each[0] != HealthStatus.ERROR)
    return Finding(
        status=problems[0][0],
        message="; ".join(what for _, what, _ in problems),
        remedy=" ".join(dict.fromkeys(remedy for _, _, remedy in problems)),
        metrics=metrics,
    )


@dataclass(frozen=True, kw_only=True)
class VacuumProbe:
    """Do dead rows pile up, and do transaction ids run out? Tables with fewer dead rows than `dead_rows` don't count.

    Percent of ids are of the 2^31 that may lie apart; at 100 % the server takes no writes.
    """

    alias: str
    dead_rows: int = 10_000
    warn_dead_percent: float = 35
    error_dead_percent: float = 70
    warn_ids_percent: float = 25
    error_ids_percent: float = 70
    answer_seconds: float = 5
    critical = False

    @property
    def name(self) -> str:
        return f"vacuum:{self.alias}"

    def run(self) -> Finding:
        try:
            with asked_within(self.alias, self.answer_seconds) as connection:
                found = vacuum.look_at(connection)
        except DatabaseError as error:
            return not_asked(self.alias, error)
        now = datetime.now(UTC)
        metrics = {
            "autovacuum": found.autovacuum,
            "ids_percent": round(found.wraparound_percent, 2),
            "oldest_database": found.oldest_database,
            "tables": [_table_metrics(each) for each in found.tables],
        }
        most = found.tables[0] if found.tables else None
        dead = f"most dead rows in {most.table} ({_share(most)})" if most else "no dead rows"
        healthy = f"{dead}; {found.wraparound_percent:.1f} % of transaction ids used"
        return _summed_up(list(self._problems(found, now)), healthy=healthy, metrics=metrics)

    def _problems(self, found: Upkeep, now: datetime) -> Iterator[_Problem]:
        if found.wraparound_percent > self.warn_ids_percent:
            hard = found.wraparound_percent > self.error_ids_percent
            yield (
                HealthStatus.ERROR if hard else HealthStatus.WARNING,
                f"{found.wraparound_percent:.1f} % of the transaction ids are used up in {found.oldest_database}"
                f" (limit {self.warn_ids_percent:g} %)",
                f"End old transactions, drop dead replication slots, and run VACUUM FREEZE in {found.oldest_database}.",
            )
        if not found.autovacuum:
            yield (
                HealthStatus.WARNING,
                "autovacuum is switched off",
                "Set autovacuum and track_counts to on: tables grow, and in the end the server takes no writes.",
            )
        for each in self._behind(found)[:_NAMED]:
            yield (
                HealthStatus.ERROR if each.percent > self.error_dead_percent else HealthStatus.WARNING,
                f"{each.table}: {_share(each)}, {_vacuumed(each, now)}",
                f"Run VACUUM (ANALYZE) {each.table}; if that removes little, end the oldest transaction first."
                " A table that stays large can be made anew with VACUUM FULL while nobody uses it.",
            )

    def _behind(self, found: Upkeep) -> list[Dead]:
        return [each for each in found.tables if each.dead >= self.dead_rows and each.percent > self.warn_dead_percent]


def _share(table: Dead) -> str:
    return f"{count(table.dead)} of {count(table.live + table.dead)} rows dead, {table.percent:.0f} %"


def _vacuumed(table: Dead, now: datetime) -> str:
    if table.switched_off:
        return "autovacuum is switched off for it"
    return f"vacuumed {age(now - table.vacuumed_at)} ago" if table.vacuumed_at else "never vacuumed"


def _table_metrics(table: Dead) -> dict[str, Any]:
    at = table.vacuumed_at.isoformat() if table.vacuumed_at else None
    return {**asdict(table), "vacuumed_at": at, "percent": round(table.percent, 1)}


@dataclass(frozen=True, kw_only=True)
class StorageProbe:
    """How large is the database, is there room left, does a replication slot hold WAL back, are blocks damaged?"""

    alias: str
    warn_free_percent: float = 15
    error_free_percent: float = 5
    warn_held_mib: float = 1024
    error_held_mib: float = 10_240
    answer_seconds: float = 5
    critical = False

    @property
    def name(self) -> str:
        return f"storage:{self.alias}"

    def run(self) -> Finding:
        try:
            with asked_within(self.alias, self.answer_seconds) as connection:
                found = storage.look_at(connection)
        except DatabaseError as error:
            return not_asked(self.alias, error)
        parts = [size_text(found.size), _room(found)]
        parts += [f"{len(found.slots)} replication slots"] if found.slots else []
        parts += ["no damaged blocks" if found.damaged is not None else "no checksums kept"]
        return _summed_up(list(self._problems(found)), healthy=", ".join(parts), metrics=_storage_metrics(found))

    def _problems(self, found: Storage) -> Iterator[_Problem]:
        if found.damaged:
            yield (
                HealthStatus.ERROR,
                f"{count(found.damaged)} blocks failed their checksum",
                "Trust neither the disk nor the memory of that server: fail over to a standby, prove the last backup,"
                " and look for the relation in the server's log.",
            )
        if found.disk is not None and found.disk.free_percent < self.warn_free_percent:
            yield (
                HealthStatus.ERROR if found.disk.free_percent < self.error_free_percent else HealthStatus.WARNING,
                f"the server's disk has {_room(found)} (limit {self.warn_free_percent:g} %)",
                "Make room, or give it a larger disk: a server that can't write WAL stops.",
            )
        for slot in found.slots:
            if problem := self._of_slot(slot):
                yield problem

    def _of_slot(self, slot: Slot) -> _Problem | None:
        if slot.state == "lost":
            return (
                HealthStatus.ERROR,
                f"replication slot {slot.name} has lost WAL that it needs",
                f"Rebuild its standby, and drop the slot: SELECT pg_drop_replication_slot('{slot.name}').",
            )
        if slot.held <= self.warn_held_mib * _MIB:
            return None
        idle = "" if slot.active else ", and nobody reads from it"
        return (
            HealthStatus.ERROR if slot.held > self.error_held_mib * _MIB else HealthStatus.WARNING,
            f"replication slot {slot.name} holds {size_text(slot.held)} of WAL back{idle}",
            "Bring its standby back before the disk is full, or give it up:"
            f" SELECT pg_drop_replication_slot('{slot.name}').",
        )


def _room(found: Storage) -> str:
    if found.disk is None:
        return "free space not known"
    return f"{found.disk.free_percent:.1f} % free ({size_text(found.disk.free)})"


def _storage_metrics(found: Storage) -> dict[str, Any]:
    return {
        "size_bytes": found.size,
        "free_bytes": found.disk.free if found.disk else None,
        "total_bytes": found.disk.total if found.disk else None,
        "damaged_blocks": found.damaged,
        "slots": [asdict(each) for each in found.slots],
    }
