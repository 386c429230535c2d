"""The next items of an iterator are made in a thread while the caller works on this one."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

# Items that are made before they are asked for.
AHEAD = 1
# Seconds after which a thread that computes lets the other one run. Python's own 5 ms would be added to each answer of
# the database, for which the caller waits many times to a batch.
SWITCH_AFTER = 0.0005


T = TypeVar("T")


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """There is no more."""


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in their order; what making them raises is raised here. Making ends when the caller stops asking."""
    made: queue.Queue[T | _Failed | _End] = queue.Queue(maxsize=AHEAD)
    unwanted = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, unwanted), name="read ahead", daemon=True)
    with _quick_switches():
        thread.start()
        try:
            while not isinstance(item := made.get(), _End):
                if isinstance(item, _Failed):
                    raise item.error
                yield item
        finally:
            unwanted.set()


def _make(items: Iterator[T], made: queue.Queue[T | _Failed | _End], unwanted: threading.Event) -> None:
    try:
        for item in items:
            if not _put(item, made, unwanted):
                return
        _put(_End(), made, unwanted)
    except BaseException as error:  # noqa: BLE001  # raised again where somebody waits for the item
        _put(_Failed(error), made, unwanted)


def _put(item: T | _Failed | _End, made: queue.Queue[T | _Failed | _End], unwanted: threading.Event) -> bool:
    while not unwanted.is_set():
        try:
            made.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False


@contextmanager
def _quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_AFTER)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
