"""Summaries of orders by day and month; the first `summarise_orders` fills them."""

from django.db import migrations, models

import emo_site.db.fields


class Migration(migrations.Migration):
    dependencies = [("reporting", "0007_roll_up")]

    operations = [
        migrations.CreateModel(
            name="OrderSummary",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("unit", models.CharField(choices=[("day", "day"), ("month", "month")], max_length=5)),
                ("first", models.DateField()),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                (
                    "of",
                    models.CharField(choices=[("all", "all strategies"), ("strategy", "one strategy")], max_length=8),
                ),
                ("strategy", models.CharField(blank=True, max_length=64)),
                ("days", models.TextField()),
                ("document", models.TextField()),
                ("definition", models.CharField(max_length=16)),
                ("changes", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "order_summaries",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("of", "strategy", "unit", "first", "environment"), name="order_summaries_one_each"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("of", "strategy"), models.Q(("of", "all"), ("strategy", "")), _connector="OR"
                        ),
                        name="order_summaries_of_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("unit__in", ["day", "month"])), name="order_summaries_unit_known"
                    ),
                ],
            },
        ),
    ]
