"""The probes of what sessions do to each other: waits for locks, and transactions that stay open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.db import DatabaseError

from emo_site.db import activity
from emo_site.db.activity import Open, Session, Wait
from emo_site.db.health import asked_within
from emo_site.display import age
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import not_asked

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class LocksProbe:
    """Does anybody wait too long for a lock, and for whom? A lock that nobody waits for harms nobody."""

    alias: str
    warn_wait_seconds: float = 5
    error_wait_seconds: float = 30
    answer_seconds: float = 5
    critical = False

    @property
    def name(self) -> str:
        return f"locks:{self.alias}"

    def run(self) -> Finding:
        try:
            with asked_within(self.alias, self.answer_seconds) as connection:
                found = activity.waits(connection)
        except DatabaseError as error:
            return not_asked(self.alias, error)
        metrics = {"waiting": len(found), "waits": [asdict(each) for each in found]}
        if not found:
            return Finding(status=HealthStatus.HEALTHY, message="nobody waits for a lock", metrics=metrics)
        longest = max(each.seconds for each in found)
        if longest <= self.warn_wait_seconds:
            message = f"{len(found)} waiting for a lock, the longest for {longest:.1f} s"
            return Finding(status=HealthStatus.HEALTHY, message=message, metrics=metrics)
        late = [each for each in found if each.seconds > self.warn_wait_seconds]
        return Finding(
            status=HealthStatus.ERROR if longest > self.error_wait_seconds else HealthStatus.WARNING,
            message=f"{len(late)} waiting for a lock for more than {self.warn_wait_seconds:g} s: "
            + "; ".join(_told(each) for each in late[:_NAMED]),
            remedy=_way_out(late),
            metrics=metrics,
        )


def _told(wait: Wait) -> str:
    for_whom = " and ".join(_who(each) for each in wait.blockers) or "a prepared transaction"
    where = f" on {wait.table}" if wait.table else ""
    return f"{_who(wait.session)} for {wait.seconds:.0f} s{where}, held up by {for_whom}"


def _who(session: Session) -> str:
    statement = f": {session.statement}" if session.statement else ""
    return f"{session.application} (pid {session.pid}, {session.state or 'state not shown'}{statement})"


def _way_out(late: Sequence[Wait]) -> str:
    """Whoever holds up others without waiting for anybody is the one to end."""
    waiting = {each.session.pid for each in late}
    roots = sorted({each.pid for wait in late for each in wait.blockers} - waiting)
    if not roots:
        return "Look at pg_prepared_xacts, and commit or roll back what was left there."
    ends = " or ".join(f"SELECT pg_terminate_backend({pid})" for pid in roots[:_NAMED])
    return f"Let it end, or end it as a superuser: {ends}."


@dataclass(frozen=True, kw_only=True)
class TransactionsProbe:
    """Is a transaction open for too long, or idle in the middle of one?

    An open one keeps vacuum from removing what died since; an idle one also keeps its locks, for nothing.
    """

    alias: str
    warn_open_seconds: float = 900
    error_open_seconds: float = 7200
    warn_idle_seconds: float = 60
    error_idle_seconds: float = 600
    answer_seconds: float = 5
    critical = False

    @property
    def name(self) -> str:
        return f"transactions:{self.alias}"

    def run(self) -> Finding:
        try:
            with asked_within(self.alias, self.answer_seconds) as connection:
                found = activity.open_transactions(connection)
        except DatabaseError as error:
            return not_asked(self.alias, error)
        idle = [each for each in found.sessions if each.is_idle and each.state_seconds > self.warn_idle_seconds]
        long = [each for each in found.sessions if each.open_seconds > self.warn_open_seconds]
        metrics = _metrics(found)
        hidden = f" ({found.hidden} sessions not shown: grant pg_read_all_stats)" if found.hidden else ""
        if not idle and not long:
            oldest = max((each.open_seconds for each in found.sessions), default=0.0)
            open_now = f"{len(found.sessions)} open, the oldest for {oldest:.1f} s" if found.sessions else "none open"
            return Finding(status=HealthStatus.HEALTHY, message=f"{open_now}{hidden}", metrics=metrics)
        hard = any(each.state_seconds > self.error_idle_seconds for each in idle) or any(
            each.open_seconds > self.error_open_seconds for each in long
        )
        told = [f"{_who(each)} idle for {_span(each.state_seconds)}" for each in idle[:_NAMED]]
        told += [f"{_who(each)} open for {_span(each.open_seconds)}" for each in long[:_NAMED] if each not in idle]
        pids = list(dict.fromkeys(each.pid for each in (*idle, *long)))[:_NAMED]
        return Finding(
            status=HealthStatus.ERROR if hard else HealthStatus.WARNING,
            message=f"{'; '.join(told)}{hidden}",
            remedy="Commit or roll it back where it was begun; else as a superuser: "
            + " or ".join(f"SELECT pg_terminate_backend({pid})" for pid in pids)
            + ".",
            metrics=metrics,
        )


def _span(seconds: float) -> str:
    return age(timedelta(seconds=seconds))


def _metrics(found: Open) -> dict[str, Any]:
    return {
        "open": len(found.sessions),
        "hidden": found.hidden,
        "oldest_seconds": max((round(each.open_seconds, 1) for each in found.sessions), default=0.0),
        "transactions": [asdict(each) for each in found.sessions],
    }
