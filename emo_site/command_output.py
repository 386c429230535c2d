"""Runs one of the desk's commands inside this process, for what a program wants of it: a document or an error."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from django.core.management import call_command

# Above it an exit status tells of a signal.
_HIGHEST_STATUS = 127


class CommandFailed(Exception):
    """A command ended with a status other than 0; the message has its words."""


def document(name: str, *arguments: str) -> Any:
    """What `manage.py NAME ARGUMENTS --json` prints. Raises CommandFailed, CommandError; SystemExit for a signal."""
    return json.loads(text(name, *arguments, "--json"))


def text(name: str, *arguments: str) -> str:
    """What `manage.py NAME ARGUMENTS` prints. Raises as document() does."""
    out, errors = StringIO(), StringIO()
    try:
        with _signals_given_back():
            call_command(name, *arguments, stdout=out, stderr=errors, no_color=True)
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > _HIGHEST_STATUS:
            raise
        said = errors.getvalue().strip() or out.getvalue().strip()
        raise CommandFailed(f"{name}: exit status {end.code}: {said}") from end
    return out.getvalue()


@contextmanager
def _signals_given_back() -> Iterator[None]:
    """A command may take signals over as if the process were its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
