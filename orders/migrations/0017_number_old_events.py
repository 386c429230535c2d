"""Events that were there before the feed get the first places of it, in the order of their times.

In a transaction of its own: the one before has waited for whoever was writing events then, so that each is either seen
here or noted; and nobody waits for this one. Backwards the table goes with the migration before.
"""

from django.db import migrations

from emo_site.db.one_runner import key_of

NUMBER = """
INSERT INTO order_feed (number, event_id)
SELECT (SELECT COALESCE(MAX(number), 0) FROM order_feed) + row_number() OVER (ORDER BY at, sequence, id), id
FROM order_events
WHERE NOT EXISTS (SELECT 1 FROM order_news WHERE order_news.event_id = order_events.id)
AND NOT EXISTS (SELECT 1 FROM order_feed WHERE order_feed.event_id = order_events.id)
"""


def number_old_events(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        if schema_editor.connection.vendor == "postgresql":
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key_of("order feed")])
        cursor.execute(NUMBER)


class Migration(migrations.Migration):
    dependencies = [("orders", "0016_order_feed")]

    operations = [migrations.RunPython(number_old_events, migrations.RunPython.noop)]
