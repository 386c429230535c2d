"""A record of the log as a line: JSON for programs, plain for people, and no secret in either."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from emo_site import known_secrets
from emo_site.logs import context
from emo_site.logs.masking import Masker, told

# What Django and gunicorn add for themselves.
_NO_EXTRA = frozenset(RESERVED_ATTRS) | {"request", "server_time", "asctime", "message", "order_id"}

# The desk's own words, and ids that it has looked at.
_HARMLESS = frozenset({"time", "level", "logger", "environment", "process", "request_id", "method"})


def masker() -> Masker:
    """Of the secrets of the settings."""
    return _masker(tuple(known_secrets.raw()))


@lru_cache(maxsize=4)
def _masker(secrets: tuple[str, ...]) -> Masker:
    return Masker(known_secrets.as_written(secrets))


def message_of(record: logging.LogRecord) -> str:
    """The message with its arguments. Not masked yet.

    Where these don't fit, logging itself would write both to standard error, with whatever they hold.
    """
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  # a mistake in a line of the log must not lose the line
        arguments = told(record.args) if record.args else ""
        return f"{told(record.msg)} {arguments} (arguments don't fit: {type(error).__name__})"


class JsonLines(JsonFormatter):
    """One JSON object a line: time (UTC), level, logger, message, environment, process, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        masked = masker()
        fields: dict[str, Any] = {
            name: value if name in _HARMLESS else masked.value(value) for name, value in self._own(record).items()
        }
        for name, value in record.__dict__.items():
            if name not in _NO_EXTRA and name not in fields and not name.startswith("_"):
                fields[name] = masked.value(value, name=name)
        return self.serialize_log_record(fields)

    def _own(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
            "environment": settings.EMO_ENV,
            "process": record.process,
            **context.of(record),
        }
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest):
            fields |= {"method": request.method, "path": request.path}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return fields


class PlainLines(logging.Formatter):
    """Time (UTC), level, logger, message, and in brackets whose work it was; a trace follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        about = " ".join(f"{name}={value}" for name, value in context.of(record).items())
        line = f"{at:%Y-%m-%d %H:%M:%S}Z {record.levelname} {record.name}: {message_of(record)}"
        parts = [f"{line} [{about}]" if about else line]
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(record.stack_info)
        return masker().text("\n".join(parts))
