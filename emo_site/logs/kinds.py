"""What kind of trouble a record of the log tells of. Pure."""

from __future__ import annotations

from emo_site.db.outage import is_outage
from emo_site.tallies import OTHER

DATABASE = "database connection"
MIGRATION = "migration"
HEALTH = "component health"
PERFORMANCE = "performance"
WEB = "web request"
SECURITY = "security"
AUDIT = "audit"
COMMAND = "command"

# The logger's name, or what it begins with up to a dot; the first that fits.
_LOGGERS = (
    ("django.security", SECURITY),
    ("django.request", WEB),
    ("django.server", WEB),
    ("gunicorn", WEB),
    ("emo.performance", PERFORMANCE),
    ("emo.migration", MIGRATION),
    ("emo.audit", AUDIT),
    ("emo.login", SECURITY),
    ("emo.command", COMMAND),
    ("emo_site.outages", DATABASE),
    ("emo_site.db.migration", MIGRATION),
    ("emo_site.db", DATABASE),
    ("django.db", DATABASE),
    ("psycopg", DATABASE),
    ("monitoring", HEALTH),
)


def kind_of(logger: str, error: BaseException | None) -> str:
    """A database that is away is that, whoever complains; else the logger's name decides."""
    if is_outage(error):
        return DATABASE
    for name, kind in _LOGGERS:
        if logger == name or logger.startswith(f"{name}."):
            return kind
    return OTHER
