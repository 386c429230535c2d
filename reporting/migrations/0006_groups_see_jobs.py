"""Everybody sees background work; operators change schedules and run tasks again."""

import importlib

from django.db import migrations

groups = importlib.import_module("reporting.migrations.0002_groups")

SEEN = ("jobs.view_job", "jobs.view_schedule", "jobs.view_workerheartbeat")
OF_OPERATORS = ("jobs.change_schedule", "jobs.run_job")
ADDED = {
    "reviewer": SEEN,
    "trader": SEEN,
    "operator": (*SEEN, *OF_OPERATORS),
    "auditor": SEEN,
    "risk officer": SEEN,
}


def let_groups(apps, schema_editor):
    alias = schema_editor.connection.alias
    for name, wanted in ADDED.items():
        for group in apps.get_model("auth", "Group").objects.using(alias).filter(name=name):
            group.permissions.add(*(groups.permission(apps, alias, each) for each in wanted))


def take_back(apps, schema_editor):
    alias = schema_editor.connection.alias
    for name, wanted in ADDED.items():
        for group in apps.get_model("auth", "Group").objects.using(alias).filter(name=name):
            group.permissions.remove(*(groups.permission(apps, alias, each) for each in wanted))


class Migration(migrations.Migration):
    dependencies = [("reporting", "0005_groups_and_alerts"), ("jobs", "0001_initial")]

    operations = [migrations.RunPython(let_groups, take_back)]
