"""What components outside of the desk report of themselves."""

from django.db import migrations, models

import emo_site.db.fields

STATUSES = [("healthy", "healthy"), ("warning", "warning"), ("error", "error"), ("unknown", "unknown")]


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0008_health_hours")]

    operations = [
        migrations.CreateModel(
            name="ComponentState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("name", models.CharField(max_length=64)),
                ("status", models.CharField(choices=STATUSES, max_length=8)),
                ("message", models.CharField(blank=True, max_length=300)),
                ("latency_ms", models.FloatField(blank=True, null=True)),
                ("next_within_seconds", models.PositiveIntegerField()),
                ("metrics", models.JSONField(blank=True, default=dict)),
                ("reported_at", models.DateTimeField()),
                ("reported_by", models.CharField(max_length=150)),
            ],
            options={
                "db_table": "component_states",
                "ordering": ("name",),
                "constraints": [
                    models.UniqueConstraint(fields=("environment", "name"), name="component_states_one_each"),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["error", "healthy", "unknown", "warning"])),
                        name="component_states_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("next_within_seconds__gt", 0)), name="component_states_interval_positive"
                    ),
                ],
            },
        ),
    ]
