"""A handler of the log that counts warnings and errors by kind."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from emo_site import tallies
from emo_site.logs.formats import masker, message_of
from emo_site.logs.kinds import kind_of

WARNING, ERROR = "warning", "error"
# Below that, an answer is the asker's matter: a page that does not exist, a form without its token.
_FAILED = 500


class CountErrors(logging.Handler):
    """Of the level warning and above; answers of less than 500 don't count."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if 0 < getattr(record, "status_code", 0) < _FAILED:
            return
        error = record.exc_info[1] if record.exc_info else None
        note(
            kind=kind_of(record.name, error),
            level=ERROR if record.levelno >= logging.ERROR else WARNING,
            message=message_of(record),
            error=error,
            at=datetime.fromtimestamp(record.created, UTC),
        )


def note(*, kind: str, level: str, message: str, at: datetime, error: BaseException | None = None) -> None:
    """Counts what goes into no log, such as a command's own last words."""
    said = f"{message}: {type(error).__name__}: {error}" if error is not None else message
    tallies.of_process.note_error(kind=kind, level=level, message=masker().text(said.strip()), at=at)
