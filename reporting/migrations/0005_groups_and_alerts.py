"""Everybody sees incidents and who was told; operators and risk officers act on them, operators arrange alerts."""

import importlib

from django.db import migrations

groups = importlib.import_module("reporting.migrations.0002_groups")

SEEN = (
    "monitoring.view_incident",
    "monitoring.view_alertchannel",
    "monitoring.view_alertrule",
    "monitoring.view_silence",
    "monitoring.view_notification",
)
# To change an incident is to acknowledge it, to change a notification is to send it again.
ACTS = ("monitoring.change_incident", "monitoring.add_silence", "monitoring.change_silence")
ARRANGES = (
    "monitoring.add_alertchannel",
    "monitoring.change_alertchannel",
    "monitoring.add_alertrule",
    "monitoring.change_alertrule",
    "monitoring.delete_alertrule",
    "monitoring.change_notification",
)
ADDED = {
    "reviewer": SEEN,
    "trader": SEEN,
    "operator": (*SEEN, *ACTS, *ARRANGES),
    "auditor": SEEN,
    "risk officer": (*SEEN, *ACTS),
}


def let_groups(apps, schema_editor):
    alias = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name__in=ADDED):
        group.permissions.add(*(groups.permission(apps, alias, each) for each in ADDED[group.name]))


def take_back(apps, schema_editor):
    alias = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name__in=ADDED):
        group.permissions.remove(*(groups.permission(apps, alias, each) for each in ADDED[group.name]))


class Migration(migrations.Migration):
    dependencies = [("reporting", "0004_risk_officer"), ("monitoring", "0007_alerts")]

    operations = [migrations.RunPython(let_groups, take_back)]
