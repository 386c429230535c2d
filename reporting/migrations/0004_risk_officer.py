"""The risk officer, and what the other groups may do and see of the review desk."""

import importlib

from django.db import migrations

groups = importlib.import_module("reporting.migrations.0002_groups")

SEEN = (
    "orders.view_orderaccess",
    "orders.view_policyversion",
    "orders.view_position",
    "orders.view_positionsnapshot",
    "orders.view_ruleoverride",
    "orders.view_tradingstatechange",
    "orders.view_unmatchedfill",
)
HALT = "orders.halt_tradingstatechange"
PROPOSE = "orders.propose_policyversion"
ADDED = {
    "reviewer": (*SEEN, HALT),
    "trader": (*SEEN, HALT, PROPOSE),
    "operator": (*SEEN, HALT, PROPOSE),
    "auditor": SEEN,
}
RISK_OFFICER = "risk officer"
OF_RISK_OFFICER = (
    *groups.VIEW_ALL,
    "monitoring.view_retentionrun",
    *SEEN,
    HALT,
    PROPOSE,
    "orders.approve_policyversion",
    "orders.release_tradingstatechange",
    "orders.review_stagedorder",
    "orders.cancel_stagedorder",
    "orders.override_stagedorder",
)


def let_groups(apps, schema_editor):
    alias = schema_editor.connection.alias
    group_model = apps.get_model("auth", "Group").objects.using(alias)
    for name, wanted in {**ADDED, RISK_OFFICER: OF_RISK_OFFICER}.items():
        group, _ = group_model.get_or_create(name=name)
        group.permissions.add(*(groups.permission(apps, alias, each) for each in wanted))


def take_back(apps, schema_editor):
    alias = schema_editor.connection.alias
    group_model = apps.get_model("auth", "Group").objects.using(alias)
    group_model.filter(name=RISK_OFFICER).delete()
    for name, wanted in ADDED.items():
        for group in group_model.filter(name=name):
            group.permissions.remove(*(groups.permission(apps, alias, each) for each in wanted))


class Migration(migrations.Migration):
    dependencies = [("reporting", "0003_groups_see_retention"), ("orders", "0005_underlyings")]

    operations = [migrations.RunPython(let_groups, take_back)]
