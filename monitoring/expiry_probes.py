"""The probe of what ends on a date: the password of the desk's role, the certificates of its servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, connections

from emo_site.db import expiry
from emo_site.db.expiry import Certificate
from emo_site.db.health import asked_within
from emo_site.display import age
from monitoring.choices import HealthStatus
from monitoring.health import Finding
from monitoring.probes import not_asked


@dataclass(frozen=True, kw_only=True)
class ExpiryProbe:
    """Until when do the password and the certificates hold, as far as that is known?"""

    alias: str
    warn_days: float = 30
    error_days: float = 3
    answer_seconds: float = 3
    critical = False

    @property
    def name(self) -> str:
        return f"expiry:{self.alias}"

    def run(self) -> Finding:
        # First, and by another way than the driver's: with a certificate that has ended nothing else answers.
        shown = expiry.certificates(connections[self.alias].settings_dict, seconds=self.answer_seconds)
        now = datetime.now(UTC)
        if refused := [each for each in shown if each.problem]:
            return _refused(refused)
        try:
            with asked_within(self.alias, self.answer_seconds) as connection:
                password = expiry.password_ends_at(connection)
        except DatabaseError as error:
            return not_asked(self.alias, error)
        ends = [(each.ends_at, f"the certificate of {each.host}") for each in shown if each.ends_at]
        ends += [(password, "the role's password")] if password else []
        metrics = {
            "password_ends_at": password.isoformat() if password else None,
            "certificates": {each.host: each.ends_at.isoformat() for each in shown if each.ends_at},
        }
        if not ends:
            return Finding(status=HealthStatus.HEALTHY, message="nothing that ends is known", metrics=metrics)
        first, what = min(ends)
        status, message = self._judged(first, what, now)
        remedy = "" if status == HealthStatus.HEALTHY else _REMEDY
        return Finding(status=status, message=message, remedy=remedy, metrics=metrics)

    def _judged(self, first: datetime, what: str, now: datetime) -> tuple[HealthStatus, str]:
        left = first - now
        on = f"{first:%Y-%m-%d %H:%M} UTC"
        if left <= timedelta():
            return HealthStatus.ERROR, f"{what} ended on {on}"
        message = f"{what} ends in {age(left)}, on {on}"
        if left < timedelta(days=self.error_days):
            return HealthStatus.ERROR, message
        return HealthStatus.WARNING if left < timedelta(days=self.warn_days) else HealthStatus.HEALTHY, message


_REMEDY = (
    "Put a new certificate on the server and reload it; a password: ALTER ROLE … PASSWORD … VALID UNTIL …, then the"
    " desk's URL."
)


def _refused(refused: list[Certificate]) -> Finding:
    silent = all(each.problem.startswith("no answer") for each in refused)
    return Finding(
        status=HealthStatus.UNKNOWN if silent else HealthStatus.ERROR,
        message="; ".join(f"{each.host}: {each.problem}" for each in refused),
        remedy="See the probe of the database." if silent else _REMEDY,
        metrics={"certificates": {each.host: each.problem for each in refused}},
    )
