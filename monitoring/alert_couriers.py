"""One thread for each channel, so that a slow receiver holds up itself alone."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from monitoring.alert_values import Attempt, Channel, Delivery

logger = logging.getLogger(__name__)

Deliver = Callable[[Channel, Delivery], Attempt]
# Messages of one channel that wait for its thread; the rest waits with whoever hands them over.
MOST_WAITING = 100


class Couriers:
    """Takes messages, tries each once in the background, and gives back what came of it."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._waiting: dict[UUID, queue.Queue[tuple[Channel, Delivery]]] = {}
        self._done: queue.SimpleQueue[tuple[UUID, Attempt]] = queue.SimpleQueue()

    def take(self, channel: Channel, delivery: Delivery) -> bool:
        """Never waits; False where the channel's thread has enough to do."""
        if channel.id not in self._waiting:
            self._waiting[channel.id] = queue.Queue(maxsize=MOST_WAITING)
            name = f"alerts to {channel.name}"
            threading.Thread(target=self._work, args=(channel.id,), daemon=True, name=name).start()
        try:
            self._waiting[channel.id].put_nowait((channel, delivery))
        except queue.Full:
            return False
        return True

    def next_done(self, timeout: float = 0.0) -> tuple[UUID, Attempt] | None:
        """The id of a message that was tried, and the outcome; None where there is none within `timeout` seconds."""
        try:
            return self._done.get(timeout=timeout) if timeout > 0 else self._done.get_nowait()
        except queue.Empty:
            return None

    def _work(self, channel_id: UUID) -> None:
        waiting = self._waiting[channel_id]
        while True:
            channel, delivery = waiting.get()
            self._done.put((delivery.id, self._try(channel, delivery)))

    def _try(self, channel: Channel, delivery: Delivery) -> Attempt:
        try:
            return self._deliver(channel, delivery)
        except Exception as error:  # the thread's edge: what nobody foresaw is told, and the next message still goes
            logger.exception("alert channel %s failed", channel.name)
            failure = f"{type(error).__name__} (see the log)"
            return Attempt(at=datetime.now(UTC), failure=failure, waiting_for=delivery.waiting_for)
