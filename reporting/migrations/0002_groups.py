"""The four groups of people, in the topmost app because an auditor sees the tables of all three."""

from django.db import migrations

VIEW_ORDERS = ("orders.view_stagedorder", "orders.view_orderleg", "orders.view_orderevent", "orders.view_executedorder")
VIEW_MONITORING = ("monitoring.view_marketevent", "monitoring.view_systemhealth")
VIEW_REPORTING = ("reporting.view_strategyperformance",)
VIEW_ALL = (*VIEW_ORDERS, *VIEW_MONITORING, *VIEW_REPORTING)

GROUPS = {
    "reviewer": (*VIEW_ALL, "orders.review_stagedorder", "orders.cancel_stagedorder"),
    "trader": (
        *VIEW_ALL,
        "orders.add_stagedorder",
        "orders.cancel_stagedorder",
        "orders.submit_stagedorder",
        "orders.execute_stagedorder",
    ),
    "operator": (*VIEW_ALL, "orders.cancel_stagedorder"),
    "auditor": VIEW_ALL,
}


def create_groups(apps, schema_editor):
    alias = schema_editor.connection.alias
    group_model = apps.get_model("auth", "Group")
    for name, permissions in GROUPS.items():
        group, _ = group_model.objects.using(alias).get_or_create(name=name)
        group.permissions.add(*(permission(apps, alias, wanted) for wanted in permissions))


def permission(apps, alias, wanted):
    """The permission's row. Django itself makes them only after the last migration; it then finds these."""
    app_label, codename = wanted.split(".")
    verb, model_name = codename.split("_")
    content_type, _ = (
        apps.get_model("contenttypes", "ContentType")
        .objects.using(alias)
        .get_or_create(app_label=app_label, model=model_name)
    )
    options = apps.get_model(app_label, model_name)._meta
    name = dict(options.permissions).get(codename, f"Can {verb} {options.verbose_name_raw}")
    row, _ = (
        apps.get_model("auth", "Permission")
        .objects.using(alias)
        .get_or_create(content_type=content_type, codename=codename, defaults={"name": name})
    )
    return row


def remove_groups(apps, schema_editor):
    apps.get_model("auth", "Group").objects.using(schema_editor.connection.alias).filter(name__in=GROUPS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("reporting", "0001_initial"),
        ("orders", "0002_order_events_append_only"),
        ("monitoring", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create_groups, remove_groups)]
