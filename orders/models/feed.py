"""Order events in the order in which they became visible."""

from __future__ import annotations

from django.db import models

from orders.models.event import OrderEvent


class OrderNews(models.Model):
    """An event that has no place in the feed yet. The database itself adds a row with each event; only
    orders/order_feed.py takes them away.
    """

    # It comes with its event, which the database never lets go: a constraint would be checked for nothing with every
    # change of an order.
    event = models.ForeignKey(OrderEvent, models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False)

    class Meta:
        db_table = "order_news"
        default_permissions = ()

    def __str__(self) -> str:
        return f"news of event {self.event_id}"


class FeedPlace(models.Model):
    """The place of an event in the feed, from 1 and without gaps. Only orders/order_feed.py writes it; the database
    refuses changes.
    """

    number = models.BigIntegerField(primary_key=True)
    # As above.
    event = models.OneToOneField(OrderEvent, models.DO_NOTHING, related_name="+", db_constraint=False)

    class Meta:
        db_table = "order_feed"
        ordering = ("number",)
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number}. event {self.event_id}"
