"""Everybody who sees the time series sees what was let go of them."""

import importlib

from django.db import migrations

groups = importlib.import_module("reporting.migrations.0002_groups")

SEEN = "monitoring.view_retentionrun"


def let_groups_see(apps, schema_editor):
    alias = schema_editor.connection.alias
    row = groups.permission(apps, alias, SEEN)
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name__in=groups.GROUPS):
        group.permissions.add(row)


def hide_again(apps, schema_editor):
    alias = schema_editor.connection.alias
    row = groups.permission(apps, alias, SEEN)
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name__in=groups.GROUPS):
        group.permissions.remove(row)


class Migration(migrations.Migration):
    dependencies = [("reporting", "0002_groups"), ("monitoring", "0004_retention_runs")]

    operations = [migrations.RunPython(let_groups_see, hide_again)]
