"""How gunicorn serves the desk (--config emo_site/gunicorn_conf.py): its log in the desk's form, one folder of figures.

Whatever the command line says wins (--bind, --workers, --threads). Nothing of the desk is imported here, not even its
settings: the master outlives its workers, and after a SIGHUP they would run on what it had read before.
"""

import faulthandler
import os
import runpy
from importlib import import_module
from pathlib import Path
from typing import Any

ENVIRONMENT = os.environ.get("EMO_ENV", "").strip() or "dev"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_folder = runpy.run_path(str(Path(__file__).resolve().parent / "metrics" / "folder.py"))

PLAIN = {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s", "datefmt": "%Y-%m-%d %H:%M:%S%z"}
JSON = {
    "()": "pythonjsonlogger.json.JsonFormatter",
    "fmt": ["levelname", "name", "message", "process"],
    "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception", "stack_info": "stack"},
    "static_fields": {"environment": ENVIRONMENT},
    "timestamp": "time",
}
# Of the master, which sees no request. A worker's log is the settings' LOGGING as soon as it has read them.
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": PLAIN if ENVIRONMENT == "dev" else JSON},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # The level is --log-level's.
    "loggers": {"gunicorn.error": {"handlers": [], "propagate": True}},
}
# The masks of the log take secrets out of the query; the time is in milliseconds.
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s bytes %(M)s ms'


def on_starting(server: Any) -> None:
    """Before any worker, and so before prometheus_client looks for the folder."""
    os.environ[FOLDER] = str(_folder["make"](uid=server.cfg.uid, gid=server.cfg.gid))


def post_worker_init(worker: Any) -> None:
    """Before the first person asks, who would wait for the modules of every page."""
    from django.conf import settings  # noqa: PLC0415  # the worker has them by now

    # A crash in a library of C would end the worker with nothing in the log but its signal.
    faulthandler.enable()
    import_module(settings.ROOT_URLCONF)


def child_exit(server: Any, worker: Any) -> None:
    """A worker that has ended uses no connections any more; what it has counted stays."""
    from prometheus_client import multiprocess  # noqa: PLC0415  # not before the folder is known

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no types


def on_exit(server: Any) -> None:
    _folder["remove"](Path(os.environ[FOLDER]))
