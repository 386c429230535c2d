"""A file of events goes in, batch by batch; each batch is committed together with how far the file was taken in.

So whatever ends a run - a kill, the database, the file - the next one goes on behind the last batch that is on record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

import psycopg
from django.db import Error, OperationalError, transaction

from monitoring.event_blocks import Block
from monitoring.event_files import STDIN, EventFile, Unusable
from monitoring.events import Conflict, OnConflict, Writer, Written
from monitoring.models import IngestCheckpoint
from monitoring.quarantine import Quarantine
from monitoring.read_ahead import read_ahead
from monitoring.text_lines import Mark

# Rows. Large enough that a commit costs little, small enough that a batch fits into memory many times over.
BATCH = 10_000
# So many rows and not one event: this is no file of events.
HOPELESS = 1000
# Two writers of the same rows in another order; the whole batch is written again.
TRIES = 3
SAFE_TO_REPEAT = ("40001", "40P01")


class Stopped(Exception):
    """The run ended before the file did. The message says why, how many rows are in and how to go on."""

    def __init__(self, reason: str, summary: Summary) -> None:
        super().__init__(f"{reason} {summary.where}")
        self.summary = summary


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What became of a file so far. `lines` counts from the beginning of the file, the others in this run alone."""

    source: str
    lines: int = 0
    rows: int = 0
    new: int = 0
    updated: int = 0
    known: int = 0
    quarantined: int = 0
    quarantine: str = ""
    resumed_after: int = 0
    finished: bool = False

    @property
    def where(self) -> str:
        if not self.lines:
            return f"Nothing of {self.source} is on record from this run."
        return (
            f"{self.rows:,} rows of {self.source} went in, up to line {self.lines:,}; the same command with --resume"
            " goes on behind it."
        )

    def as_json(self) -> dict[str, object]:
        return asdict(self)


Progress = Callable[[Summary, float | None], None]


def ingest(
    file: EventFile,
    *,
    quarantine: Path,
    now: datetime,
    on_conflict: OnConflict = OnConflict.SKIP,
    resume: bool = False,
    batch_size: int = BATCH,
    progress: Progress | None = None,
) -> Summary:
    """Takes the file in, about `batch_size` rows to a transaction; rows that are no events go to `quarantine`.

    With `resume`, behind what an earlier run has taken in. Raises Unusable where nothing of this run is on record and
    Stopped where something may be.
    """
    run = _Run(file, Quarantine(quarantine, source=file.name), Writer(on_conflict=on_conflict), batch_size)
    try:
        run.begin(resume=resume, now=now)
        for batch in read_ahead(run.batches()):
            run.take(batch)
            if progress is not None:
                progress(run.summary, file.fraction)
        return run.end()
    except Unusable as error:
        if not run.summary.rows:
            run.close_untouched()
            raise
        raise Stopped(f"{error}.", run.summary) from error
    except KeyboardInterrupt as error:
        raise Stopped("Interrupted.", run.summary) from error
    except (Error, psycopg.Error) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise Stopped(f"The database can't be used ({reason}). Is it up and migrated?", run.summary) from error
    except OSError as error:
        reason = f"{quarantine}: can't be written ({error.strerror})."
        raise Stopped(reason, run.summary) from error


@dataclass
class _Batch:
    blocks: list[Block] = field(default_factory=list)
    rows: int = 0

    def add(self, block: Block) -> None:
        self.blocks.append(block)
        self.rows += len(block.rows)

    @property
    def refused(self) -> int:
        return sum(len(block.refused) for block in self.blocks)

    @property
    def mark(self) -> Mark:
        return self.blocks[-1].mark

    def line(self, place: int) -> int:
        """Of the row at that place, counted from 0."""
        return next(islice(chain.from_iterable(block.lines for block in self.blocks), place, None))


class _Run:
    def __init__(self, file: EventFile, quarantine: Quarantine, writer: Writer, batch_size: int) -> None:
        self.file = file
        self.quarantine = quarantine
        self.writer = writer
        self.batch_size = batch_size
        self.summary = Summary(source=file.name)
        self.mark = Mark()
        self.rows_before = self.quarantined_before = 0

    def begin(self, *, resume: bool, now: datetime) -> None:
        key = _key(self.file)
        fresh = IngestCheckpoint(key=key, source=self.file.name, started_at=now)
        IngestCheckpoint.objects.bulk_create([fresh], ignore_conflicts=True)
        self.checkpoint = IngestCheckpoint.objects.filter(key=key)
        place = {"quarantine": str(self.quarantine.path), "quarantine_size": self.quarantine.size}
        if not resume:
            start = {"lines": 0, "offset": 0, "digest": "", "rows": 0, "quarantined": 0, "finished": False}
            self.checkpoint.update(**start, **place, started_at=now)
            return
        found = self.checkpoint.get()
        self.mark = Mark(found.lines, found.offset, found.digest)
        self.summary = replace(self.summary, lines=found.lines, resumed_after=found.lines)
        self.rows_before, self.quarantined_before = found.rows, found.quarantined
        if found.quarantine == place["quarantine"]:
            self.quarantine.go_on(found.quarantine_size)
        else:
            # So that the next run, should this one be killed, knows where it began to add.
            self.checkpoint.update(**place)

    def batches(self) -> Iterator[_Batch]:
        """What can be read of a file that can't be read to its end is taken in before that is said."""
        batch = _Batch()
        # Small ones first, so that the database has something to do from the beginning.
        wanted = min(self.batch_size, HOPELESS)
        try:
            for block in self.file.blocks(self.mark, self.writer.form):
                batch.add(block)
                if batch.rows + batch.refused >= max(wanted, 0 if batch.rows else HOPELESS):
                    yield batch
                    batch = _Batch()
                    wanted = min(self.batch_size, 2 * wanted)
        except Unusable:
            if batch.blocks:
                yield batch
            raise
        if batch.blocks:
            yield batch

    def take(self, batch: _Batch) -> None:
        if not batch.rows and batch.refused >= HOPELESS and not self.mark.offset:
            first = batch.blocks[0].refused[0]
            reason = f"none of the first {batch.refused:,} rows is an event (line {first.line}: {first.problem})"
            raise Unusable(f"{self.file.name}: {reason}; is --format right?")
        refused = [row for block in batch.blocks for row in block.refused]
        size = self.quarantine.add(refused)
        written = self._write(batch, size)
        self.mark = batch.mark
        so_far = self.summary
        self.summary = replace(
            so_far,
            lines=batch.mark.lines,
            rows=so_far.rows + batch.rows,
            new=so_far.new + written.new,
            updated=so_far.updated + written.updated,
            known=so_far.known + written.known,
            quarantined=so_far.quarantined + len(refused),
            quarantine=str(self.quarantine.path) if refused else so_far.quarantine,
        )

    def end(self) -> Summary:
        self.checkpoint.filter(lines=self.mark.lines, offset=self.mark.offset).update(finished=True)
        self.summary = replace(self.summary, finished=True)
        return self.summary

    def close_untouched(self) -> None:
        """Of a file that was refused there is nothing to go on with: recover must not name it for ever."""
        self.checkpoint.filter(lines=0, offset=0).update(finished=True)

    def _write(self, batch: _Batch, quarantine_size: int) -> Written:
        for tries_left in reversed(range(TRIES)):
            try:
                return self._write_once(batch, quarantine_size)
            except OperationalError as error:
                if not tries_left or getattr(error.__cause__, "sqlstate", None) not in SAFE_TO_REPEAT:
                    raise
            except Conflict as error:
                self.close_untouched()
                reason = f"{self.file.name} line {batch.line(error.place)}: {error}."
                raise Stopped(reason, self.summary) from error
        raise AssertionError("the last try returns or raises")

    def _write_once(self, batch: _Batch, quarantine_size: int) -> Written:
        with transaction.atomic(using=self.writer.using):
            written = self.writer.write([block.rows for block in batch.blocks])
            # Another run of the same file may be further on; all that it has passed is on record too.
            behind = self.checkpoint.filter(lines__lte=batch.mark.lines, offset__lte=batch.mark.offset)
            behind.update(
                lines=batch.mark.lines,
                offset=batch.mark.offset,
                digest=batch.mark.digest,
                rows=self.rows_before + self.summary.rows + batch.rows,
                quarantined=self.quarantined_before + self.summary.quarantined + batch.refused,
                quarantine=str(self.quarantine.path),
                quarantine_size=quarantine_size,
                finished=False,
            )
        return written


def _key(file: EventFile) -> str:
    place = file.name if file.name == STDIN else str(Path(file.name).resolve())
    return hashlib.sha256(f"{file.format}\0{place}".encode()).hexdigest()
