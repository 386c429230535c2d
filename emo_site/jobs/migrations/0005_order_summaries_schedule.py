"""Summaries of orders follow the orders."""

from datetime import UTC, datetime

from django.db import migrations

from emo_site.jobs import cron

NAME, EVERY_MINUTE = "sum up orders", "* * * * *"


def make(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.get_or_create(
        name=NAME,
        defaults={
            "task": "reporting.tasks.summarise_orders",
            "cron": EVERY_MINUTE,
            "next_at": cron.next_after(EVERY_MINUTE, datetime.now(UTC)),
        },
    )


def remove(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("jobs", "0004_performance_schedule")]

    operations = [migrations.RunPython(make, remove)]
