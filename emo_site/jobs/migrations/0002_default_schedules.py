"""What runs by itself on a new desk, and what somebody has to say a word about first, which is disabled."""

from datetime import UTC, datetime

from django.db import migrations

from emo_site.jobs import cron

# Times are UTC. The heavy ones run while New York is closed.
ENABLED = (
    ("expire orders", "orders.tasks.expire_orders", "* * * * *"),
    ("verify and anchor the audit trail", "orders.tasks.anchor_audit", "10 1 * * *"),
    ("verify the audit trail", "orders.tasks.verify_audit", "10 13 * * *"),
    ("retention of time series", "monitoring.tasks.apply_retention", "30 3 * * *"),
    ("forget old jobs", "emo_site.jobs.tasks.prune_jobs", "45 3 * * *"),
)
# A backup needs EMO_BACKUP_KEY, and fills are matched in somebody's name.
DISABLED = (
    ("backup", "emo_site.tasks.backup", "30 2 * * *", {}),
    ("prove the newest backup", "emo_site.tasks.verify_backup", "30 4 * * *", {}),
    ("match fills", "orders.tasks.match_fills", "*/5 * * * *", {"by": ""}),
    ("order report", "reporting.tasks.export_report", "0 22 * * 1-5", {"report": "orders"}),
    ("institutional report", "reporting.tasks.export_report", "0 5 * * *", {"report": "institutional"}),
)
NAMES = [row[0] for row in (*ENABLED, *DISABLED)]


def make(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    now = datetime.now(UTC)
    for name, task, expression in ENABLED:
        schedules.get_or_create(
            name=name, defaults={"task": task, "cron": expression, "next_at": cron.next_after(expression, now)}
        )
    for name, task, expression, arguments in DISABLED:
        schedules.get_or_create(
            name=name, defaults={"task": task, "cron": expression, "arguments": arguments, "enabled": False}
        )


def remove(apps, schema_editor):
    schedules = apps.get_model("jobs", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.filter(name__in=NAMES).delete()


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    operations = [migrations.RunPython(make, remove)]
