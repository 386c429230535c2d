"""Time series, which are append-only and partitioned by time where the database can, and what is known of their system.

No foreign keys lead in or out: these tables may live in a database of their own.
"""

from monitoring.models.alert import AlertChannel, AlertRule, Notification, Silence, ToldIncident
from monitoring.models.component import ComponentState
from monitoring.models.hour import HealthHour
from monitoring.models.incident import Incident
from monitoring.models.run import IngestCheckpoint, RetentionRun
from monitoring.models.series import MarketEvent, SystemHealth
from monitoring.models.tally import ErrorMinute, RequestMinute

__all__ = [
    "AlertChannel",
    "AlertRule",
    "ComponentState",
    "ErrorMinute",
    "HealthHour",
    "Incident",
    "IngestCheckpoint",
    "MarketEvent",
    "Notification",
    "RequestMinute",
    "RetentionRun",
    "Silence",
    "SystemHealth",
    "ToldIncident",
]
