"""Two more kinds of events, which manage.py recover writes.

Backwards it is refused where such events are on record: the trail only grows, and the older table has no word for them.
"""

from django.db import migrations, models

from emo_site.db.append_only import KeepRefusingChanges

KINDS = [
    ("staged", "staged"),
    ("imported", "imported history"),
    ("approved", "approved"),
    ("rejected", "rejected"),
    ("returned", "returned to review"),
    ("submitted", "submitted"),
    ("filled", "fill recorded"),
    ("cancelled", "cancelled"),
    ("expired", "expired"),
    ("broker_rejected", "broker rejected"),
    ("unanswered", "no answer from the broker"),
    ("recovered", "put right"),
]


class Migration(migrations.Migration):
    dependencies = [("orders", "0002_order_events_append_only")]

    operations = [
        KeepRefusingChanges("OrderEvent"),
        migrations.RemoveConstraint(model_name="orderevent", name="order_events_kind_known"),
        migrations.AlterField(
            model_name="orderevent", name="kind", field=models.CharField(choices=KINDS, max_length=16)
        ),
        migrations.AddConstraint(
            model_name="orderevent",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", sorted(kind for kind, _ in KINDS))), name="order_events_kind_known"
            ),
        ),
        KeepRefusingChanges("OrderEvent"),
    ]
