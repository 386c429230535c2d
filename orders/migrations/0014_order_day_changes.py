"""Which trading days changed since they were summed up: at first all that have orders."""

from django.db import migrations, models

import emo_site.db.fields


def every_day_changed(apps, schema_editor):
    alias = schema_editor.connection.alias
    facts, change = apps.get_model("orders", "OrderFacts"), apps.get_model("orders", "OrderDayChange")
    days = facts.objects.using(alias).order_by().values_list("day", "environment").distinct()
    rows = [change(day=day, environment=environment) for day, environment in days]
    change.objects.using(alias).bulk_create(rows, batch_size=1000)


class Migration(migrations.Migration):
    dependencies = [("orders", "0013_filters_of_the_review")]

    operations = [
        migrations.CreateModel(
            name="OrderDayChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
            ],
            options={"db_table": "order_day_changes"},
        ),
        migrations.RunPython(every_day_changed, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="orderfacts",
            index=models.Index(
                condition=models.Q(("overfilled", True)), fields=["created_at", "order"], name="order_facts_overfilled"
            ),
        ),
        migrations.AddIndex(
            model_name="orderfacts",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)), fields=["expires_at"], name="order_facts_expires"
            ),
        ),
    ]
