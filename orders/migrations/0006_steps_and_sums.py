"""The legal steps of an order, enforced by the database; and the sums that the rules need for every order."""

from decimal import Decimal

from django.db import migrations, models

import emo_site.db.fields
from emo_site.db.transitions import GuardSteps

# TRANSITIONS of orders/choices.py at this version; a test compares the trigger with the table.
STEPS = {
    "draft": ["blocked", "cancelled", "expired", "pending_review"],
    "blocked": ["cancelled", "expired", "pending_review"],
    "pending_review": ["approved", "blocked", "cancelled", "expired", "rejected"],
    "approved": ["cancelled", "expired", "pending_review", "submitted"],
    "rejected": [],
    "submitted": ["broker_rejected", "cancelled", "executed", "expired", "partially_filled"],
    "partially_filled": ["cancelled", "executed", "expired", "partially_filled"],
    "executed": [],
    "cancelled": ["executed", "partially_filled"],
    "expired": ["executed", "partially_filled"],
    "broker_rejected": [],
}
FIRST = ["draft", "blocked", "pending_review"]


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0005_underlyings"),
    ]

    operations = [
        migrations.CreateModel(
            name="EquityHigh",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(
                        default=emo_site.db.fields.current_environment, max_length=16, unique=True
                    ),
                ),
                ("price", models.DecimalField(decimal_places=6, max_digits=18)),
                ("at", models.DateTimeField()),
                ("looked_until", models.DateTimeField()),
            ],
            options={
                "db_table": "equity_highs",
            },
        ),
        migrations.CreateModel(
            name="StagedRisk",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("day", models.DateField()),
                ("shard", models.PositiveSmallIntegerField()),
                ("orders", models.IntegerField(default=0)),
                ("max_loss", models.DecimalField(decimal_places=6, default=Decimal("0"), max_digits=22)),
                ("unbounded", models.IntegerField(default=0)),
                ("unknown", models.IntegerField(default=0)),
            ],
            options={
                "db_table": "staged_risk",
                "constraints": [
                    models.UniqueConstraint(fields=("environment", "day", "shard"), name="staged_risk_one_each"),
                    models.CheckConstraint(condition=models.Q(("shard__lt", 16)), name="staged_risk_shard_known"),
                ],
            },
        ),
        GuardSteps("StagedOrder", "status", STEPS, FIRST),
    ]
