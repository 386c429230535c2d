"""The broker's acknowledgement: a kind of event, and a decision that can be refused.

Backwards it is refused where such rows are on record: these tables only grow, and the older ones have no word for them.
"""

from django.db import migrations, models

from emo_site.db.append_only import KeepRefusingChanges

KINDS = [
    ("staged", "staged"),
    ("imported", "imported history"),
    ("approved", "approved"),
    ("auto_approved", "approved by the policy"),
    ("rejected", "rejected"),
    ("changes_asked", "changes requested"),
    ("overridden", "rule overridden"),
    ("rejudged", "judged again"),
    ("returned", "returned to review"),
    ("submitted", "submitted"),
    ("acknowledged", "acknowledged by the broker"),
    ("filled", "fill recorded"),
    ("corrected", "fill corrected"),
    ("busted", "fill busted"),
    ("cancelled", "cancelled"),
    ("expired", "expired"),
    ("broker_rejected", "broker rejected"),
    ("unanswered", "no answer from the broker"),
    ("recovered", "put right"),
]
ATTEMPTS = [
    ("approve", "approve"),
    ("reject", "reject"),
    ("ask_changes", "request changes"),
    ("override", "override a rule"),
    ("submit", "submit to the broker"),
    ("acknowledge", "record the broker's acknowledgement"),
    ("broker_reject", "record the broker's refusal"),
    ("rejudge", "judge again"),
    ("cancel", "cancel"),
    ("replace", "replace"),
]


class Migration(migrations.Migration):
    dependencies = [("orders", "0014_order_day_changes")]

    operations = [
        KeepRefusingChanges("OrderEvent"),
        KeepRefusingChanges("RefusedDecision"),
        migrations.RemoveConstraint(model_name="orderevent", name="order_events_kind_known"),
        migrations.RemoveConstraint(model_name="refuseddecision", name="refused_decisions_attempt_known"),
        migrations.AlterField(
            model_name="orderevent", name="kind", field=models.CharField(choices=KINDS, max_length=16)
        ),
        migrations.AlterField(
            model_name="refuseddecision", name="attempt", field=models.CharField(choices=ATTEMPTS, max_length=16)
        ),
        migrations.AddConstraint(
            model_name="orderevent",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", sorted(kind for kind, _ in KINDS))), name="order_events_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="refuseddecision",
            constraint=models.CheckConstraint(
                condition=models.Q(("attempt__in", sorted(name for name, _ in ATTEMPTS))),
                name="refused_decisions_attempt_known",
            ),
        ),
        KeepRefusingChanges("RefusedDecision"),
        KeepRefusingChanges("OrderEvent"),
    ]
