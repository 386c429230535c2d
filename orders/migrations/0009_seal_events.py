"""Seals the events that are there, with the key of EMO_AUDIT_KEY, as they are found. Backwards it takes the seals away.

Run again it gives the same seals, as long as the key is the same.
"""

import sys
from itertools import groupby

from django.conf import settings
from django.db import connections, migrations

from emo_site.db import append_only
from orders.seals import seal

ORDERS_AT_ONCE = 2000
SAY_EVERY = 100_000


def seal_events(apps, schema_editor):
    _with_every_order(apps, schema_editor.connection.alias, _sealed)


def take_seals_away(apps, schema_editor):
    _with_every_order(apps, schema_editor.connection.alias, _unsealed)


def _with_every_order(apps, alias, change):
    """Lets `change` give each event its new seal, some orders at a time, while the table takes changes."""
    event_model, order_model = apps.get_model("orders", "OrderEvent"), apps.get_model("orders", "StagedOrder")
    connection, table = connections[alias], event_model._meta.db_table
    append_only.run(connection, append_only.statements_to_release(connection.vendor, table))
    done, last = 0, None
    orders = order_model.objects.using(alias).order_by("pk").only("pk")
    while batch := list((orders if last is None else orders.filter(pk__gt=last))[:ORDERS_AT_ONCE]):
        last = batch[-1].pk
        events = list(event_model.objects.using(alias).filter(order__in=batch).order_by("order_id", "sequence"))
        heads = dict.fromkeys((order.pk for order in batch), "")
        for order_id, trail in groupby(events, key=lambda event: event.order_id):
            heads[order_id] = change(order_id, trail)
        _write(connection, event_model, "seal", [(event.seal, event.pk) for event in events])
        _write(connection, order_model, "audit_head", [(head, key) for key, head in heads.items()])
        if done // SAY_EVERY != (done + len(events)) // SAY_EVERY:
            sys.stdout.write(f"  {done + len(events)} events\n")
        done += len(events)
    keys = append_only.unique_keys(event_model)
    append_only.run(connection, append_only.statements_to_protect(connection.vendor, table, keys))


def _sealed(order_id, trail):
    head = ""
    for event in trail:
        head = event.seal = seal(
            settings.EMO_AUDIT_KEY.encode(),
            previous=head,
            order_id=order_id,
            sequence=event.sequence,
            at=event.at,
            kind=event.kind,
            actor_id=event.actor_id,
            actor_name=event.actor_name,
            from_status=event.from_status,
            to_status=event.to_status,
            reason=event.reason,
            seen=event.seen,
        )
    return head


def _unsealed(order_id, trail):
    for event in trail:
        event.seal = ""
    return ""


def _write(connection, model, column, rows):
    # One prepared statement per table; bulk_update would write a CASE of thousands of branches.
    prepare = model._meta.pk.get_db_prep_value
    quote = connection.ops.quote_name
    sql = f"UPDATE {quote(model._meta.db_table)} SET {quote(column)} = %s WHERE id = %s"  # noqa: S608  # our names
    with connection.cursor() as cursor:
        cursor.executemany(sql, [(value, prepare(key, connection)) for value, key in rows])


class Migration(migrations.Migration):
    dependencies = [("orders", "0008_policy_versions_in_a_row")]

    operations = [migrations.RunPython(seal_events, take_seals_away)]
