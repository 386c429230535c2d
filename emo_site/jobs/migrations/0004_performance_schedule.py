"""Figures of strategies follow the fills."""

from datetime import UTC, datetime

from django.db import migrations

from emo_site.jobs import cron

NAME, EVERY_QUARTER_HOUR = "roll up strategy performance", "*/15 * * * *"


def make(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.get_or_create(
        name=NAME,
        defaults={
            "task": "reporting.tasks.rollup_performance",
            "cron": EVERY_QUARTER_HOUR,
            "next_at": cron.next_after(EVERY_QUARTER_HOUR, datetime.now(UTC)),
        },
    )


def remove(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_health_schedules")]

    operations = [migrations.RunPython(make, remove)]
