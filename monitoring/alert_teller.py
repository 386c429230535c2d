"""Tells people of incidents, round by round, out of its own memory where the database is away."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import Error, IntegrityError, connections

from emo_site.db import deadline
from emo_site.db.aliases import database_of
from emo_site.db.fields import current_environment
from monitoring import alert_delivery, alert_log, alert_plan, alert_retries, alert_text
from monitoring.alert_couriers import Couriers, Deliver
from monitoring.alert_values import Arrangement, Attempt, Channel, Delivery, Message, OpenIncident, Recovered, Told

logger = logging.getLogger(__name__)

# Seconds that a round waits for the database, in all.
DATABASE_SECONDS = 5.0
# Messages in hand; when there are more, new ones are dead letters at once.
MOST_IN_HAND = 5_000
# What was told of an incident is forgotten so long after nobody spoke of it any more.
REMEMBERED_FOR = timedelta(days=7)

ToldKey = tuple[UUID, UUID, str, int]


class Teller:
    """Keeps who is to be told as last read, what was told, and what is on its way. One thread calls it.

    With the database there, a message is written down before it is sent, and only who wrote it sends it: two workers
    tell nothing twice. Without it, it is sent, and written down afterwards.
    """

    def __init__(
        self, *, deliver: Deliver = alert_delivery.deliver, jitter: Callable[[], float] = random.random
    ) -> None:
        self._couriers = Couriers(deliver)
        self._jitter = jitter
        self._arrangement: Arrangement | None = None
        self._told: dict[ToldKey, Told] = {}
        self._recovered: dict[UUID, Recovered] = {}
        self._in_hand: dict[UUID, Delivery] = {}
        self._with_courier: set[UUID] = set()
        # Whose rows in the database are missing, or say less than is known here.
        self._unwritten: set[UUID] = set()
        self._reachable = True
        self._away = False
        self._ends_at = 0.0

    def round(self, *, open: Sequence[OpenIncident], recovered: Sequence[Recovered], now: datetime) -> None:
        """Tells what is to be told at `now` (aware). It waits for no receiver, and no outage makes it raise."""
        self._begin_with_database()
        while done := self._couriers.next_done():
            self._note(*done)
        self._recovered |= {incident.id: incident for incident in recovered}
        self._in_database(lambda: self._read(open, now))
        for message in self._planned(open, now):
            self._take_on(message, now)
        self._hand_over(now)
        self._write()
        self._forget(open, now)

    def settle(self, *, timeout: float) -> None:
        """Waits up to `timeout` seconds for what is being sent, and writes down what came of it."""
        ends_at = time.monotonic() + timeout
        while done := self._couriers.next_done():
            self._note(*done)
        while self._with_courier and (left := ends_at - time.monotonic()) > 0:
            if done := self._couriers.next_done(left):
                self._note(*done)
        self._begin_with_database()
        self._write()

    # ---- what came of messages

    def _note(self, identifier: UUID, attempt: Attempt) -> None:
        self._with_courier.discard(identifier)
        self._keep(alert_retries.after(self._in_hand[identifier], attempt, jitter=self._jitter()))

    def _keep(self, delivery: Delivery) -> None:
        self._in_hand[delivery.id] = delivery
        self._unwritten.add(delivery.id)
        if delivery.dead_at is not None:
            logger.error("alert %s to %s was given up: %s", delivery.id, delivery.channel_id, delivery.failure)
            self._remember(_told_by(delivery))

    # ---- what is known

    def _read(self, open_incidents: Sequence[OpenIncident], now: datetime) -> None:
        self._arrangement = alert_log.arrangement(now=now)
        for incident in alert_log.ended(now=now):
            self._recovered.setdefault(incident.id, incident)
        self._remember(alert_log.told_of({incident.id for incident in open_incidents} | set(self._recovered)))
        # This worker may have stood by for a while.
        waiting = [each for each in self._in_hand.values() if each.id not in self._with_courier | self._unwritten]
        for identifier in alert_log.taken_over(waiting):
            del self._in_hand[identifier]
        for delivery in alert_log.adopt(now=now, but_not=set(self._in_hand)):
            self._in_hand[delivery.id] = delivery

    def _planned(self, open_incidents: Sequence[OpenIncident], now: datetime) -> list[Message]:
        return alert_plan.plan(
            open_incidents=open_incidents,
            recovered=list(self._recovered.values()),
            arrangement=self._in_force(),
            told=self._told.values(),
            now=now,
        )

    def _in_force(self) -> Arrangement:
        return self._arrangement or alert_log.first_arrangement()

    def _remember(self, told: Sequence[Told]) -> None:
        for each in told:
            self._told[each.channel_id, each.incident_id, each.kind, each.number] = each

    # ---- on its way

    def _take_on(self, message: Message, now: datetime) -> None:
        if len(self._in_hand) >= MOST_IN_HAND:
            logger.error("%s alerts are on their way; what is new waits for a later round", len(self._in_hand))
            return
        channel = self._in_force().channels[message.channel_id]
        delivery = alert_text.delivery_of(message, channel, environment=current_environment(), now=now)
        claimed: list[bool] = []
        if self._in_database(lambda: claimed.append(alert_log.claim(delivery))):
            if not claimed[0]:
                # Another worker was first: what it told is read in the next round.
                return
        else:
            self._unwritten.add(delivery.id)
        self._in_hand[delivery.id] = delivery
        self._remember(_told_by(delivery))

    def _hand_over(self, now: datetime) -> None:
        """The oldest first; of one incident nothing overtakes what was told of it before."""
        channels = self._in_force().channels
        held: set[tuple[UUID, UUID]] = set()
        for delivery in sorted(self._in_hand.values(), key=lambda each: each.created_at):
            if not delivery.under_way:
                continue
            about = {(delivery.channel_id, incident_id) for incident_id, _ in delivery.told}
            free = delivery.id not in self._with_courier and delivery.next_try_at <= now
            if free and not about & held:
                self._send(channels.get(delivery.channel_id), delivery, now)
            held |= about

    def _send(self, channel: Channel | None, delivery: Delivery, now: datetime) -> None:
        if channel is None or not channel.enabled:
            self._keep(alert_retries.given_up(delivery, "The channel is disabled.", at=now))
        elif self._couriers.take(channel, delivery):
            self._with_courier.add(delivery.id)

    # ---- writing and forgetting

    def _write(self) -> None:
        for delivery in [self._in_hand[identifier] for identifier in self._unwritten]:
            if self._in_database(partial(_record, delivery)):
                self._unwritten.discard(delivery.id)
                if not delivery.under_way:
                    del self._in_hand[delivery.id]

    def _forget(self, open_incidents: Sequence[OpenIncident], now: datetime) -> None:
        channels = [channel.id for channel in self._in_force().channels.values() if channel.enabled]
        self._recovered = {
            identifier: incident
            for identifier, incident in self._recovered.items()
            if alert_plan.waits_to_be_told(incident, told=self._told.values(), channels=channels)
        }
        alive = {incident.id for incident in open_incidents} | set(self._recovered)
        self._told = {
            key: each for key, each in self._told.items() if each.incident_id in alive or now - each.at < REMEMBERED_FOR
        }

    # ---- the database

    def _begin_with_database(self) -> None:
        """Each round it is asked anew; a connection that broke meanwhile is given up."""
        self._ends_at = time.monotonic() + DATABASE_SECONDS
        self._reachable = True
        connection = connections[database_of("monitoring")]
        if connection.connection is not None and not connection.in_atomic_block and not connection.is_usable():
            connection.close()

    def _in_database(self, work: Callable[[], None]) -> bool:
        """Whether `work` was done. Where the database is away it is not, and nobody asks it again in this round."""
        if not self._reachable:
            return False
        try:
            with deadline.within(max(0.0, self._ends_at - time.monotonic())):
                work()
        except Error as error:
            self._reachable = False
            if not self._away:
                logger.warning("alerts go on from memory, the database is away: %s", error)
            self._away = True
            return False
        if self._away:
            logger.warning("alerts: the database is back")
        self._away = False
        return True


def _record(delivery: Delivery) -> None:
    try:
        alert_log.record(delivery)
    except IntegrityError:
        # It will not go in next time either, and the others must.
        logger.exception("alert %s could not be written down", delivery.id)


def _told_by(delivery: Delivery) -> list[Told]:
    return [
        Told(
            channel_id=delivery.channel_id,
            incident_id=incident_id,
            kind=delivery.kind,
            number=number,
            at=delivery.created_at,
            dead=delivery.dead_at is not None,
        )
        for incident_id, number in delivery.told
    ]
