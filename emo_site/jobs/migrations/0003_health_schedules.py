"""What keeps the report of health current, and sends it once somebody named whom to."""

from datetime import UTC, datetime

from django.db import migrations

from emo_site.jobs import cron

HOURLY = "5 * * * *"
NAMES = ["sum up recorded health", "institutional report by e-mail"]


def make(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.get_or_create(
        name=NAMES[0],
        defaults={
            "task": "monitoring.tasks.roll_up_health",
            "cron": HOURLY,
            "next_at": cron.next_after(HOURLY, datetime.now(UTC)),
        },
    )
    # It needs EMO_REPORT_EMAILS.
    schedules.get_or_create(
        name=NAMES[1],
        defaults={"task": "reporting.tasks.send_health_report", "cron": "0 6 * * 1", "enabled": False},
    )


def remove(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.filter(name__in=NAMES).delete()


class Migration(migrations.Migration):
    dependencies = [("jobs", "0002_default_schedules")]

    operations = [migrations.RunPython(make, remove)]
