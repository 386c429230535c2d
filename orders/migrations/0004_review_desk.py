"""What the review desk keeps: policies, trading state, overrides, positions, accesses, unmatched fills, seals."""

from decimal import Decimal

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import emo_site.db.fields
from emo_site.db.append_only import KeepRefusingChanges


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0003_order_events_recovery"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        KeepRefusingChanges("OrderEvent"),
        migrations.CreateModel(
            name="OrderAccess",
            fields=[
                ("id", emo_site.db.fields.TimeOrderedUUIDField("at", serialize=False)),
                ("at", models.DateTimeField()),
                ("kind", models.CharField(choices=[("viewed", "viewed"), ("exported", "exported")], max_length=8)),
                ("actor_name", models.CharField(max_length=150)),
                ("what", models.CharField(max_length=255)),
                ("row_count", models.PositiveIntegerField(default=1)),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
            ],
            options={
                "verbose_name": "access",
                "verbose_name_plural": "accesses",
                "db_table": "order_accesses",
                "ordering": ("-at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                ("number", models.PositiveIntegerField(primary_key=True, serialize=False)),
                ("document", models.TextField()),
                ("checksum", models.CharField(max_length=64)),
                ("label", models.CharField(max_length=64)),
                ("changes", models.JSONField(default=list)),
                ("loosens", models.BooleanField()),
                ("reason", models.TextField(blank=True)),
                ("proposed_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
                ("effective_from", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "policy version",
                "db_table": "policy_versions",
                "ordering": ("-number",),
                "permissions": (
                    ("propose_policyversion", "Can propose a policy"),
                    ("approve_policyversion", "Can approve a policy that loosens a limit"),
                ),
            },
        ),
        migrations.CreateModel(
            name="Position",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("strategy", models.CharField(blank=True, max_length=64)),
                ("instrument", models.CharField(max_length=64)),
                ("underlying", models.CharField(max_length=32)),
                ("right", models.CharField(choices=[("C", "call"), ("P", "put"), ("S", "stock")], max_length=1)),
                ("strike", models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ("expiry", models.DateField(blank=True, null=True)),
                ("multiplier", models.PositiveIntegerField(default=1)),
                ("quantity", models.DecimalField(decimal_places=8, max_digits=20)),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("cost", models.DecimalField(decimal_places=6, default=Decimal("0"), max_digits=22)),
                ("updated_at", models.DateTimeField()),
            ],
            options={
                "db_table": "positions",
                "ordering": ("environment", "underlying", "instrument", "strategy"),
            },
        ),
        migrations.CreateModel(
            name="PositionSnapshot",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("strategy", models.CharField(blank=True, max_length=64)),
                ("instrument", models.CharField(max_length=64)),
                ("underlying", models.CharField(max_length=32)),
                ("right", models.CharField(choices=[("C", "call"), ("P", "put"), ("S", "stock")], max_length=1)),
                ("strike", models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ("expiry", models.DateField(blank=True, null=True)),
                ("multiplier", models.PositiveIntegerField(default=1)),
                ("quantity", models.DecimalField(decimal_places=8, max_digits=20)),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("average_price", models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True)),
                ("taken_at", models.DateTimeField()),
                ("source", models.CharField(max_length=255)),
                ("imported_at", models.DateTimeField()),
            ],
            options={
                "db_table": "position_snapshots",
                "ordering": ("-taken_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="RuleOverride",
            fields=[
                ("id", emo_site.db.fields.TimeOrderedUUIDField("given_at", serialize=False)),
                ("code", models.CharField(max_length=32)),
                ("reason", models.TextField()),
                ("given_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "override",
                "db_table": "rule_overrides",
                "ordering": ("-given_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="SavedFilter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("query", models.CharField(max_length=1000)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "saved filter",
                "db_table": "saved_filters",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="TradingStateChange",
            fields=[
                ("id", emo_site.db.fields.TimeOrderedUUIDField("at", serialize=False)),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("number", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[("active", "active"), ("reducing", "reducing"), ("halted", "halted")], max_length=8
                    ),
                ),
                (
                    "before",
                    models.CharField(
                        choices=[("active", "active"), ("reducing", "reducing"), ("halted", "halted")], max_length=8
                    ),
                ),
                ("reason", models.TextField()),
            ],
            options={
                "verbose_name": "change of the trading state",
                "verbose_name_plural": "changes of the trading state",
                "db_table": "trading_state_changes",
                "ordering": ("-number",),
                "permissions": (
                    ("halt_tradingstatechange", "Can restrict or halt trading"),
                    ("release_tradingstatechange", "Can release trading that another person restricted"),
                ),
            },
        ),
        migrations.CreateModel(
            name="UnmatchedFill",
            fields=[
                ("id", emo_site.db.fields.TimeOrderedUUIDField("received_at", serialize=False)),
                ("execution_id", models.CharField(max_length=128)),
                ("client_order_id", models.CharField(blank=True, max_length=128)),
                ("report", models.JSONField()),
                ("reason", models.CharField(max_length=255)),
                ("received_at", models.DateTimeField()),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("matched_at", models.DateTimeField(blank=True, null=True)),
                ("matched_by", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "verbose_name": "unmatched fill",
                "db_table": "unmatched_fills",
                "ordering": ("-received_at", "-id"),
            },
        ),
        migrations.AlterModelOptions(
            name="stagedorder",
            options={
                "ordering": ("-created_at", "-id"),
                "permissions": (
                    ("review_stagedorder", "Can approve and reject orders"),
                    ("cancel_stagedorder", "Can cancel orders"),
                    ("submit_stagedorder", "Can hand approved orders to the broker"),
                    ("execute_stagedorder", "Can record fills and the broker's refusals"),
                    ("override_stagedorder", "Can override a rule for one order"),
                ),
                "verbose_name": "order",
            },
        ),
        migrations.RemoveConstraint(
            model_name="orderevent",
            name="order_events_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="stagedorder",
            name="staged_orders_approved_by_someone",
        ),
        migrations.AddField(
            model_name="executedorder",
            name="corrects",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="corrected_by",
                to="orders.executedorder",
            ),
        ),
        migrations.AddField(
            model_name="executedorder",
            name="kind",
            field=models.CharField(
                choices=[("fill", "fill"), ("correction", "correction"), ("bust", "bust")],
                default="fill",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="executedorder",
            name="recorded_at",
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddField(
            model_name="executedorder",
            name="slippage_bps",
            field=models.DecimalField(blank=True, decimal_places=4, max_digits=14, null=True),
        ),
        migrations.AddField(
            model_name="executedorder",
            name="slippage_money",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=22, null=True),
        ),
        migrations.AddField(
            model_name="orderevent",
            name="seal",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="approval_expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="approval_price",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="approved_by_policy",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="arrival_price",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="audit_head",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="changes_asked_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="decision_price",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="fingerprint",
            field=models.CharField(blank=True, max_length=64),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="max_loss",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=22, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="replaces",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replaced_by",
                to="orders.stagedorder",
            ),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="submitted_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="unbounded_loss",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="underlying",
            field=models.CharField(blank=True, max_length=32),
        ),
        migrations.AlterField(
            model_name="orderevent",
            name="kind",
            field=models.CharField(
                choices=[
                    ("staged", "staged"),
                    ("imported", "imported history"),
                    ("approved", "approved"),
                    ("auto_approved", "approved by the policy"),
                    ("rejected", "rejected"),
                    ("changes_asked", "changes requested"),
                    ("overridden", "rule overridden"),
                    ("rejudged", "judged again"),
                    ("returned", "returned to review"),
                    ("submitted", "submitted"),
                    ("filled", "fill recorded"),
                    ("corrected", "fill corrected"),
                    ("busted", "fill busted"),
                    ("cancelled", "cancelled"),
                    ("expired", "expired"),
                    ("broker_rejected", "broker rejected"),
                    ("unanswered", "no answer from the broker"),
                    ("recovered", "put right"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="stagedorder",
            index=models.Index(fields=["underlying", "created_at"], name="staged_orders_underlying"),
        ),
        migrations.AddIndex(
            model_name="stagedorder",
            index=models.Index(
                condition=models.Q(
                    ("status__in", ["approved", "blocked", "draft", "partially_filled", "pending_review", "submitted"])
                ),
                fields=["environment", "underlying"],
                name="staged_orders_open",
            ),
        ),
        migrations.AddIndex(
            model_name="stagedorder",
            index=models.Index(fields=["fingerprint", "created_at"], name="staged_orders_fingerprint"),
        ),
        migrations.AddConstraint(
            model_name="executedorder",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["bust", "correction", "fill"])), name="executed_orders_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="executedorder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("corrects__isnull", True), ("kind", "fill")),
                    models.Q(models.Q(("kind", "fill"), _negated=True), ("corrects__isnull", False)),
                    _connector="OR",
                ),
                name="executed_orders_corrects_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="orderevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "approved",
                            "auto_approved",
                            "broker_rejected",
                            "busted",
                            "cancelled",
                            "changes_asked",
                            "corrected",
                            "expired",
                            "filled",
                            "imported",
                            "overridden",
                            "recovered",
                            "rejected",
                            "rejudged",
                            "returned",
                            "staged",
                            "submitted",
                            "unanswered",
                        ],
                    )
                ),
                name="order_events_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="stagedorder",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("status__in", ["approved", "broker_rejected", "executed", "partially_filled", "submitted"]),
                        _negated=True,
                    ),
                    models.Q(("reviewed_at__isnull", False), ("reviewed_by__isnull", False)),
                    models.Q(
                        ("approved_by_policy", True), ("reviewed_at__isnull", False), ("reviewed_by__isnull", True)
                    ),
                    _connector="OR",
                ),
                name="staged_orders_approved_by_someone",
            ),
        ),
        migrations.AddField(
            model_name="orderaccess",
            name="actor",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="orderaccess",
            name="order",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="accesses",
                to="orders.stagedorder",
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="approved_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="proposed_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="withdrawn_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="position",
            index=models.Index(
                condition=models.Q(("quantity", 0), _negated=True),
                fields=["environment", "underlying"],
                name="positions_underlying",
            ),
        ),
        migrations.AddConstraint(
            model_name="position",
            constraint=models.UniqueConstraint(
                fields=("environment", "strategy", "instrument"), name="positions_one_each"
            ),
        ),
        migrations.AddField(
            model_name="positionsnapshot",
            name="imported_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="ruleoverride",
            name="given_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="ruleoverride",
            name="order",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="overrides", to="orders.stagedorder"
            ),
        ),
        migrations.AddField(
            model_name="ruleoverride",
            name="staged_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="savedfilter",
            name="owner",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="saved_filters", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="tradingstatechange",
            name="changed_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="tradingstatechange",
            name="restricted_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="unmatchedfill",
            name="matched_to",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="unmatched_before",
                to="orders.executedorder",
            ),
        ),
        migrations.AddField(
            model_name="unmatchedfill",
            name="received_by",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="orderaccess",
            index=models.Index(fields=["at", "id"], name="order_accesses_at"),
        ),
        migrations.AddConstraint(
            model_name="orderaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["exported", "viewed"])), name="order_accesses_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("approved_by__isnull", True),
                    models.Q(("approved_by", models.F("proposed_by")), _negated=True),
                    _connector="OR",
                ),
                name="policy_versions_four_eyes",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("loosens", False),
                    ("effective_from__isnull", True),
                    models.Q(("approved_at__isnull", False), ("approved_by__isnull", False)),
                    models.Q(("number", 1), ("proposed_by__isnull", True)),
                    _connector="OR",
                ),
                name="policy_versions_loosened_by_two",
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("withdrawn_at__isnull", True), ("effective_from__isnull", True), _connector="OR"),
                name="policy_versions_withdrawn_has_no_effect",
            ),
        ),
        migrations.AddConstraint(
            model_name="positionsnapshot",
            constraint=models.UniqueConstraint(
                fields=("environment", "strategy", "instrument", "taken_at"), name="position_snapshots_once"
            ),
        ),
        migrations.AddIndex(
            model_name="ruleoverride",
            index=models.Index(fields=["given_at", "id"], name="rule_overrides_given"),
        ),
        migrations.AddConstraint(
            model_name="ruleoverride",
            constraint=models.CheckConstraint(
                condition=models.Q(("given_by", models.F("staged_by")), _negated=True), name="rule_overrides_four_eyes"
            ),
        ),
        migrations.AddConstraint(
            model_name="ruleoverride",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="rule_overrides_with_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="ruleoverride",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("given_at"))), name="rule_overrides_end"
            ),
        ),
        migrations.AddConstraint(
            model_name="savedfilter",
            constraint=models.UniqueConstraint(fields=("owner", "name"), name="saved_filters_name_once"),
        ),
        migrations.AddConstraint(
            model_name="savedfilter",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", ""), _negated=True), name="saved_filters_name_given"
            ),
        ),
        migrations.AddConstraint(
            model_name="tradingstatechange",
            constraint=models.UniqueConstraint(fields=("environment", "number"), name="trading_state_changes_in_a_row"),
        ),
        migrations.AddConstraint(
            model_name="tradingstatechange",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["active", "halted", "reducing"])), name="trading_state_changes_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="tradingstatechange",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="trading_state_changes_with_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="tradingstatechange",
            constraint=models.CheckConstraint(
                condition=models.Q(("state", models.F("before")), _negated=True), name="trading_state_changes_something"
            ),
        ),
        migrations.AddConstraint(
            model_name="tradingstatechange",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state", "halted"),
                    models.Q(("before", "active"), ("state", "reducing")),
                    models.Q(
                        ("restricted_by__isnull", False),
                        models.Q(("changed_by", models.F("restricted_by")), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="trading_state_changes_released_by_another",
            ),
        ),
        migrations.AddIndex(
            model_name="unmatchedfill",
            index=models.Index(
                condition=models.Q(("matched_to__isnull", True)),
                fields=["client_order_id"],
                name="unmatched_fills_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="unmatchedfill",
            constraint=models.UniqueConstraint(fields=("execution_id",), name="unmatched_fills_execution_id_unique"),
        ),
        migrations.AddConstraint(
            model_name="unmatchedfill",
            constraint=models.CheckConstraint(
                condition=models.Q(("execution_id", ""), _negated=True), name="unmatched_fills_execution_id_given"
            ),
        ),
        migrations.AddConstraint(
            model_name="unmatchedfill",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("matched_at__isnull", True), ("matched_to__isnull", True)),
                    models.Q(("matched_at__isnull", False), ("matched_to__isnull", False)),
                    _connector="OR",
                ),
                name="unmatched_fills_matched_whole",
            ),
        ),
        KeepRefusingChanges("OrderEvent"),
    ]
