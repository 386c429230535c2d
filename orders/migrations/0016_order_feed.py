"""A feed of order events: each new one is noted by the database, and gets its place when it is read."""

import django.db.models.deletion
from django.db import migrations, models

from emo_site.db.append_only import RefuseChanges
from emo_site.db.arrivals import NoteArrivals


class Migration(migrations.Migration):
    dependencies = [("orders", "0015_acknowledged")]

    operations = [
        migrations.CreateModel(
            name="OrderNews",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "event",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="orders.orderevent",
                    ),
                ),
            ],
            options={"db_table": "order_news", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="FeedPlace",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="orders.orderevent",
                    ),
                ),
            ],
            options={"db_table": "order_feed", "ordering": ("number",), "default_permissions": ()},
        ),
        RefuseChanges("FeedPlace"),
        NoteArrivals("OrderEvent", notes="OrderNews", column="event"),
    ]
