"""The desk's own settings, with limits that a drill can wait for; everything else is as it runs."""

from __future__ import annotations

from emo_site.settings import *  # noqa: F403  # settings are made to be extended so
from emo_site.settings import PROBES as _PROBES

SHORT_LIMITS = {
    "monitoring.worker_probes.WorkerProbe": {"silent_seconds": 15.0},
    "monitoring.backup_probes.BackupsProbe": {"warn_age_hours": 90 / 3600},
    "monitoring.probes.MarketDataProbe": {"warn_age_hours": 10 / 3600},
}
PROBES = [(path, {**options, **SHORT_LIMITS.get(path, {})}) for path, options in _PROBES]
