"""What an outage left behind of files of events: runs that did not end, and rows in quarantine."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

from django.conf import settings

from emo_site.db.aliases import database_of
from monitoring.event import Fields, InvalidEvent, row_of
from monitoring.event_fields import from_json
from monitoring.events import StoredRow, Writer
from monitoring.models import IngestCheckpoint
from monitoring.recovery import Leftover, NotMended

_BATCH = 1000


def unfinished_runs() -> Iterator[Leftover]:
    """Files that are not on record to their end. (One that is being ingested at this moment is among them.)"""
    for run in IngestCheckpoint.objects.filter(finished=False).order_by("started_at"):
        yield Leftover(
            kind="unfinished ingest",
            database=database_of("monitoring"),
            subject=run.source,
            found=f"{run.rows:,} rows up to line {run.lines:,}, begun {run.started_at:%Y-%m-%d %H:%M:%S} UTC",
            would=f"left to a person: manage.py ingest_events {run.source} --resume, unless it runs at this moment",
        )


def quarantined(*, now: datetime) -> Iterator[Leftover]:
    """Rows in quarantine, by file; those that are events by now (a rule or the row was mended) can be taken in."""
    being_written = set(IngestCheckpoint.objects.filter(finished=False).values_list("quarantine", flat=True))
    for path in _files():
        total = valid = 0
        with path.open("rb") as file:
            for line in file:
                total += 1
                valid += _row(line) is not None
        if not total:
            continue
        takes = valid and str(path) not in being_written
        yield Leftover(
            kind="quarantined events",
            database=database_of("monitoring"),
            subject=str(path),
            found=f"{total:,} rows, {valid:,} of them events by the rules of today",
            would=f"take in the {valid:,}, keep the other {total - valid:,} in the file, and the old file beside it"
            if takes
            else 'left to a person: correct the text in "row" (it must be JSON), or remove the file'
            if not valid
            else "left to a person: a run that did not end writes there; let it end first",
            mend=partial(_take_in, path, now) if takes else None,
            closes=valid == total,
        )


def _files() -> list[Path]:
    """Those in the desk's own folder, and those that runs were told to use."""
    named = {
        Path(name) for name in IngestCheckpoint.objects.exclude(quarantine="").values_list("quarantine", flat=True)
    }
    folder: Path = settings.EMO_DATA_DIR / "quarantine"
    return sorted(path for path in {*named, *folder.glob("*.jsonl")} if path.is_file())


def _row(record: bytes, row: Callable[[Fields], StoredRow] = row_of) -> StoredRow | None:
    """The event of a record as `row` makes it; None where it is none. Rows of CSV and Parquet are not JSON."""
    try:
        text = json.loads(record)["row"]
        return row(from_json(text.encode()))
    except (InvalidEvent, ValueError, TypeError, KeyError, AttributeError):
        return None


def _take_in(path: Path, now: datetime) -> str:
    """Batch by batch, each known by its id: where this is cut off, the next run takes in the rest."""
    writer, new, kept = Writer(), 0, 0
    rest = path.with_name(f"{path.name}.rest")
    aside = path.with_name(f"{path.name}.recovered-{now:%Y%m%dT%H%M%SZ}")
    try:
        with path.open("rb") as file, rest.open("wb") as others:
            rest.chmod(stat.S_IMODE(path.stat().st_mode))
            while lines := list(islice(file, _BATCH)):
                found = [(line, _row(line, writer.form.row)) for line in lines]
                new += writer.write([writer.form.together([row for _, row in found if row is not None])]).new
                left = [line for line, row in found if row is None]
                others.writelines(left)
                kept += len(left)
            others.flush()
            os.fsync(others.fileno())
        if kept:
            # The name leads to the old rows or to those that are left, whenever this is cut off.
            os.link(path, aside)
            rest.replace(path)
        else:
            path.rename(aside)
            rest.unlink()
    except OSError as error:
        raise NotMended(f"{path}: {error.strerror}; what was taken in is on record") from error
    return f"{new:,} new on record, {kept:,} still in quarantine; the old file is {aside.name}"
