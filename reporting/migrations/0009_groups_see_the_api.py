"""Auditors and operators see who may use the API, and who asked it for what."""

import importlib

from django.db import migrations

groups = importlib.import_module("reporting.migrations.0002_groups")

SEEN = ("api.view_apitoken", "api.view_apicall")
NAMES = ("operator", "auditor")


def let_groups_see(apps, schema_editor):
    alias = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name__in=NAMES):
        group.permissions.add(*(groups.permission(apps, alias, each) for each in SEEN))


def take_back(apps, schema_editor):
    alias = schema_editor.connection.alias
    for group in apps.get_model("auth", "Group").objects.using(alias).filter(name__in=NAMES):
        group.permissions.remove(*(groups.permission(apps, alias, each) for each in SEEN))


class Migration(migrations.Migration):
    dependencies = [("reporting", "0008_order_summaries"), ("api", "0001_initial")]

    operations = [migrations.RunPython(let_groups_see, take_back)]
