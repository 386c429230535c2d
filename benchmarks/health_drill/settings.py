"""The desk's own settings, with limits that a drill can wait for, and its files on the drill's small disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from emo_site.settings import *  # noqa: F403  # settings are made to be extended so
from emo_site.settings import EMO_DATA_DIR as _DATA_DIR
from emo_site.settings import PROBES as _PROBES

EMO_DATA_DIR = Path(os.environ.get("EMO_DRILL_DATA_DIR", _DATA_DIR))
CHANGED: dict[str, dict[str, Any]] = {
    "monitoring.probes.DiskProbe": {"path": str(EMO_DATA_DIR)},
    "monitoring.worker_probes.WorkerProbe": {"silent_seconds": 15.0},
    "monitoring.backup_probes.BackupsProbe": {"warn_age_hours": 90 / 3600},
    "monitoring.probes.MarketDataProbe": {"warn_age_hours": 10 / 3600},
}
PROBES = [(path, {**options, **CHANGED.get(path, {})}) for path, options in _PROBES]
