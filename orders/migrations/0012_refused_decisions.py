"""Decisions that were refused; the table only grows."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import emo_site.db.fields
from emo_site.db.append_only import RefuseChanges

ATTEMPTS = [
    ("approve", "approve"),
    ("reject", "reject"),
    ("ask_changes", "request changes"),
    ("override", "override a rule"),
    ("submit", "submit to the broker"),
    ("broker_reject", "record the broker's refusal"),
    ("rejudge", "judge again"),
    ("cancel", "cancel"),
    ("replace", "replace"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0011_order_ends"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RefusedDecision",
            fields=[
                ("id", emo_site.db.fields.TimeOrderedUUIDField("at", serialize=False)),
                ("at", models.DateTimeField()),
                ("attempt", models.CharField(choices=ATTEMPTS, max_length=16)),
                ("code", models.CharField(max_length=32)),
                ("actor_name", models.CharField(max_length=150)),
                ("own", models.BooleanField(default=False)),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "order",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refused_decisions",
                        to="orders.stagedorder",
                    ),
                ),
            ],
            options={
                "verbose_name": "refused decision",
                "db_table": "refused_decisions",
                "ordering": ("-at", "-id"),
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["at", "id"], name="refused_decisions_at"),
                    models.Index(fields=["actor_name", "at"], name="refused_decisions_actor"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("attempt__in", sorted(name for name, _ in ATTEMPTS))),
                        name="refused_decisions_attempt_known",
                    )
                ],
            },
        ),
        RefuseChanges("RefusedDecision"),
    ]
