"""How gunicorn serves the desk, read from here by itself: one log with the desk's, one set of figures for all workers.

Whatever the command line says wins (--bind, --workers, --threads).
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emo_site.settings")

from django.conf import settings

from emo_site.metrics import folder

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

logconfig_dict = settings.LOGGING
# The masks of the log take secrets out of the query; the time is in milliseconds.
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s bytes %(M)s ms'


def on_starting(server: Any) -> None:
    """Before any worker, and so before prometheus_client looks for the folder."""
    os.environ[FOLDER] = str(folder.make(uid=server.cfg.uid, gid=server.cfg.gid))


def child_exit(server: Any, worker: Any) -> None:
    """A worker that has ended uses no connections any more; what it has counted stays."""
    from prometheus_client import multiprocess  # noqa: PLC0415  # not before the folder is known

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no types


def on_exit(server: Any) -> None:
    folder.remove(Path(os.environ[FOLDER]))
