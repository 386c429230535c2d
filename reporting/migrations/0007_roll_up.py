"""Rows say which kind of period they are about, and how far each strategy was rolled up is kept."""

from django.db import migrations, models

import emo_site.db.fields


def forget(apps, schema_editor):
    """Rows follow from the fills: the next roll-up writes them, whichever way this migration goes."""
    apps.get_model("reporting", "StrategyPerformance").objects.using(schema_editor.connection.alias).all().delete()


class Migration(migrations.Migration):
    dependencies = [("reporting", "0006_groups_see_jobs")]

    operations = [
        migrations.RunPython(forget, migrations.RunPython.noop),
        migrations.CreateModel(
            name="RollUp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("strategy_name", models.CharField(blank=True, max_length=64)),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("executions", models.PositiveIntegerField(default=0)),
                ("statements", models.PositiveIntegerField(default=0)),
                ("version", models.CharField(blank=True, max_length=32)),
                ("due_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "strategy_roll_ups",
                "constraints": [
                    models.UniqueConstraint(fields=("strategy_name", "environment"), name="strategy_roll_ups_one_each"),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="strategyperformance",
            name="strategy_performance_unique_period",
        ),
        migrations.AddField(
            model_name="strategyperformance",
            name="period",
            field=models.CharField(
                choices=[("day", "day"), ("week", "week"), ("month", "month"), ("all", "all")],
                default="all",
                max_length=5,
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="strategyperformance",
            constraint=models.CheckConstraint(
                condition=models.Q(("period__in", ["all", "day", "month", "week"])),
                name="strategy_performance_period_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="strategyperformance",
            constraint=models.UniqueConstraint(
                fields=("strategy_name", "environment", "period", "period_start"),
                name="strategy_performance_one_each",
            ),
        ),
        migrations.AddConstraint(
            model_name="strategyperformance",
            constraint=models.UniqueConstraint(
                condition=models.Q(("period", "all")),
                fields=("strategy_name", "environment"),
                name="strategy_performance_one_of_all",
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, forget),
    ]
