"""Tasks that leave a trace in a file, one line each, so that a test can count what was done and by which process."""

from __future__ import annotations

import os
import signal
import time

from django_tasks import task


def _note(path: str, words: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{words} {os.getpid()}\n".encode())
    os.close(descriptor)


@task
def count(path: str, number: int) -> int:
    _note(path, str(number))
    time.sleep(0.05)
    return number


@task
def last(path: str, seconds: float) -> str:
    _note(path, "started")
    time.sleep(seconds)
    _note(path, "finished")
    return "done"


@task
def die(path: str) -> None:
    _note(path, "started")
    os.kill(os.getpid(), signal.SIGKILL)


@task
def fail(what: str) -> None:
    raise ValueError(f"{what} can't be done")


@task
def give(what: object) -> object:
    return what


@task
def give_unstorable(kind: str) -> object:
    return {"nul": "a\0b", "surrogate": "\ud800", "object": object(), "nan": float("nan")}[kind]
