"""Answers and nonces that nobody can ask for any more are let go each hour."""

from datetime import UTC, datetime

from django.db import migrations

from emo_site.jobs import cron

NAME, HOURLY = "let old answers of the API go", "35 * * * *"


def make(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.get_or_create(
        name=NAME,
        defaults={
            "task": "emo_site.api.tasks.prune_api",
            "cron": HOURLY,
            "next_at": cron.next_after(HOURLY, datetime.now(UTC)),
        },
    )


def remove(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("api", "0002_calls_append_only"), ("jobs", "0005_order_summaries_schedule")]

    operations = [migrations.RunPython(make, remove)]
