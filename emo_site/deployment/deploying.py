"""The steps of a deployment, one after the other, each timed; the first that fails is the last."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from emo_site.command_output import CommandFailed, text
from emo_site.db import migration
from emo_site.db.backup import desk, keys, making, session
from emo_site.db.backup.errors import CouldNot
from emo_site.db.backup.shelf import Shelf
from emo_site.deployment import preflight, record
from emo_site.deployment.record import Deployment
from emo_site.deployment.revision import revision

Say = Callable[[str], None]


class StepFailed(Exception):
    """A step could not be done; the message says why."""


class Stopped(Exception):
    """The deployment ended at `step`. `changed`: whether the desk is no longer as it was before."""

    def __init__(self, step: str, reason: str, *, changed: bool) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.changed = changed


@dataclass(frozen=True, kw_only=True)
class Step:
    """One finished step: what it did, and how long it took in seconds."""

    name: str
    said: str
    seconds: float


class Deploying:
    """One run. `now` is when it began; `wait` the patience with another who migrates, in seconds."""

    def __init__(self, shelf: Shelf, *, now: datetime, wait: float, verbosity: int, stdout: TextIO, say: Say) -> None:
        self._shelf = shelf
        self._now = now
        self._wait = wait
        self._verbosity = verbosity
        self._stdout = stdout
        self._say = say
        self._found: dict[str, tuple[str, ...]] = {}
        self._deployment: Deployment | None = None

    def steps(self) -> Iterator[Step]:
        """Does one step for each that is asked for. Raises Stopped, and then the record says so too."""
        work = (
            ("preflight", self._preflight),
            ("record", self._record),
            ("backup", self._backup),
            ("proof of the backup", self._prove),
            ("migrations", self._migrate),
            ("static files", self._static_files),
            ("health", self._health),
        )
        for name, do in work:
            started = time.monotonic()
            try:
                said = do()
            except (StepFailed, CouldNot, record.NoRecord, DatabaseError) as error:
                raise self._stopped(name, error) from error
            yield Step(name=name, said=said, seconds=time.monotonic() - started)
        self._change(outcome=record.DONE)

    def _stopped(self, step: str, error: Exception) -> Stopped:
        reason = str(error).strip() or type(error).__name__
        if self._deployment is None:
            return Stopped(step, reason, changed=False)
        try:
            self._change(outcome=record.STOPPED, step=step)
        except record.NoRecord as unwritten:
            reason = f"{reason} (and the record still says that it goes on: {unwritten})"
        return Stopped(step, reason, changed=self._has_changed())

    def _has_changed(self) -> bool:
        try:
            return self._found != _applied()
        except DatabaseError:
            # Who can't look must not say that nothing happened.
            return True

    def _preflight(self) -> str:
        found = preflight.run()
        if problems := [f"{check.name}: {each}" for check in found for each in check.problems]:
            raise StepFailed("\n".join(problems))
        return "\n".join(f"{check.name}: {check.said}" for check in found)

    def _record(self) -> str:
        self._found = _applied()
        earlier = record.read(self._shelf)
        finished = next((each for each in reversed(earlier) if each.outcome == record.DONE), None)
        self._deployment = record.begin(
            self._shelf,
            Deployment(
                started_at=self._now,
                code=revision(),
                code_before=finished.code if finished else "",
                before=self._found,
            ),
        )
        counts = ", ".join(f"{alias} at {len(names)} migrations" for alias, names in self._found.items())
        return f"{counts}; {record.place(self._shelf)}"

    def _backup(self) -> str:
        if not any(self._found.values()):
            return "nothing there yet to be backed up"
        with self._shelf.locked():
            made = making.make(
                self._shelf,
                databases=desk.databases(),
                keys=keys.for_making(settings.EMO_BACKUP_KEY),
                heads=settings.EMO_AUDIT_TRAILS,
                programs_in=settings.EMO_PG_BIN,
                desk_version=settings.EMO_VERSION,
                now=self._now,
            )
        # After a deployment that stopped, the archive that it made holds the state to which the record leads.
        if self._deployment is not None and not self._deployment.backup:
            self._change(backup=str(made.path))
        return f"{made.path}, {made.bytes / 1e6:.1f} MB"

    def _prove(self) -> str:
        path = self._shelf.path_for(self._now)
        if not path.exists():
            return "nothing to prove"
        on_files = not any(session.is_server(each) for each in desk.databases().values())
        if not keys.parse(settings.EMO_BACKUP_KEY).identities:
            return "not proven here: this host has no key that opens archives"
        if not (on_files or settings.EMO_BACKUP_SCRATCH):
            return "not proven here: EMO_BACKUP_SCRATCH_URL names no server to try it on"
        try:
            text("verify_backup", str(path))
        except (CommandError, CommandFailed) as error:
            raise StepFailed(str(error)) from error
        return "proven"

    def _migrate(self) -> str:
        try:
            migration.migrate(wait=self._wait, verbosity=self._verbosity, stdout=self._stdout, say=self._say)
        except migration.NotMigrated as error:
            raise StepFailed(str(error)) from error
        done = {alias: len(set(names) - set(self._found[alias])) for alias, names in _applied().items()}
        return ", ".join(f"{alias}: {count} applied" for alias, count in done.items())

    def _static_files(self) -> str:
        told = io.StringIO()
        try:
            call_command("collectstatic", interactive=False, stdout=told)
        except (CommandError, OSError, ValueError) as error:
            raise StepFailed(f"{settings.STATIC_ROOT}: {error}") from error
        return told.getvalue().strip() or f"in {settings.STATIC_ROOT}"

    def _health(self) -> str:
        """Only what the desk can't work without ends a deployment: worker and watch are started after it."""
        told = io.StringIO()
        try:
            call_command("healthcheck", "--json", "--no-record", stdout=told)
        except SystemExit:
            # Its status is the worst of all; the document says whose.
            pass
        except CommandError as error:
            raise StepFailed(str(error)) from error
        components = json.loads(told.getvalue())["components"]
        unwell = [each for each in components if each["status"] != "healthy"]
        if failing := [each for each in unwell if each["critical"]]:
            raise StepFailed("; ".join(f"{each['name']}: {each['message']}" for each in failing))
        noted = ", ".join(f"{each['name']} ({each['status']})" for each in unwell)
        return f"{len(components)} probes" + (f"; look at {noted}" if noted else ", all healthy")

    def _change(self, *, outcome: str = "", step: str = "", backup: str = "") -> None:
        if self._deployment is None:
            raise AssertionError("nothing is on record yet")
        self._deployment = replace(
            self._deployment,
            outcome=outcome or self._deployment.outcome,
            step=step or self._deployment.step,
            backup=backup or self._deployment.backup,
        )
        record.change(self._shelf, self._deployment)


def plan(shelf: Shelf) -> Iterator[tuple[str, str]]:
    """(step, what it would do) of each step behind the preflight; changes nothing. Raises what the driver raises."""
    waiting = {alias: migration.pending(alias) for alias in migration.aliases()}
    yield "record", f"would write the state of now into {record.place(shelf)}"
    yield "backup", f"would make an archive of {', '.join(waiting)} in {shelf.folder}"
    for alias, pending in waiting.items():
        names = [*map(str, pending.missing), *pending.migrations]
        yield "migrations", f"{alias}: " + ("nothing to apply" if not names else f"would apply {', '.join(names)}")
    yield "static files", f"would collect them into {Path(settings.STATIC_ROOT)}"
    yield "health", "would run every probe; a critical one that fails ends the deployment"


def _applied() -> dict[str, tuple[str, ...]]:
    return {alias: preflight.applied(alias) for alias in migration.aliases()}
