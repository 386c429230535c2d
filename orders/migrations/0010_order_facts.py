"""The facts of each order, which reports add up; made for the orders that are there as their writer makes them."""

import sys

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import emo_site.db.fields
from orders import order_facts
from orders.order_facts import FillSums, Known

ORDERS_AT_ONCE = 2000
SAY_EVERY = 100_000


def make_facts(apps, schema_editor):
    """Run again, it makes those that are missing."""
    alias = schema_editor.connection.alias
    orders = apps.get_model("orders", "StagedOrder").objects.using(alias).filter(facts=None).order_by("pk")
    done, last = 0, None
    while batch := list((orders if last is None else orders.filter(pk__gt=last))[:ORDERS_AT_ONCE]):
        last = batch[-1].pk
        _make(apps, alias, batch)
        if done // SAY_EVERY != (done + len(batch)) // SAY_EVERY:
            sys.stdout.write(f"  {done + len(batch)} orders\n")
        done += len(batch)


def _make(apps, alias, orders):
    points, fills = _points(apps, alias, orders), _fills(apps, alias, orders)
    model = apps.get_model("orders", "OrderFacts")
    columns = {field.attname for field in model._meta.concrete_fields}
    rows = []
    for order in orders:
        # Orders and facts have got more columns since, which are not there yet.
        known = Known(**{name: getattr(order, name) for name in order_facts.COLUMNS if hasattr(order, name)})
        row = dict(
            order_id=order.pk,
            environment=order.environment,
            created_at=order.created_at,
            expires_at=order.expires_at,
            strategy=order.strategy,
            underlying=order.underlying,
            reviewer_id=order.reviewed_by_id,
            violations=order.violations,
            events=order.event_count,
            **order_facts.of_order(known),
            **order_facts.of_fills(known, fills.get(order.pk, FillSums())),
            **points.get(order.pk, {}),
        )
        rows.append(model(**{name: value for name, value in row.items() if name in columns}))
    model.objects.using(alias).bulk_create(rows)


def _points(apps, alias, orders):
    """Of each order's last assessment."""
    found = {}
    events = apps.get_model("orders", "OrderEvent").objects.using(alias).filter(order__in=orders).order_by("sequence")
    for order_id, seen in events.values_list("order_id", "seen"):
        if told := order_facts.of_event(seen):
            found[order_id] = told
    return found


def _fills(apps, alias, orders):
    """Of those that hold: neither taken back nor put right by a later row."""
    found = {}
    fills = apps.get_model("orders", "ExecutedOrder").objects.using(alias).filter(staged_order__in=orders)
    holding = fills.filter(corrected_by=None).exclude(kind="bust")
    for order_id, fees, at in holding.values_list("staged_order_id", "fees", "execution_timestamp"):
        found[order_id] = found.get(order_id, FillSums()).and_one_more(fees, at)
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0009_seal_events"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="OrderFacts",
            fields=[
                (
                    "order",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="facts",
                        serialize=False,
                        to="orders.stagedorder",
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("day", models.DateField()),
                ("stage", models.SmallIntegerField()),
                ("events", models.IntegerField(default=0)),
                ("overfilled", models.BooleanField(default=False)),
                ("value", models.BigIntegerField(blank=True, null=True)),
                ("execution", models.BigIntegerField(blank=True, null=True)),
                ("decision_slippage", models.IntegerField(blank=True, null=True)),
                ("arrival_slippage", models.IntegerField(blank=True, null=True)),
                ("limit_slippage", models.IntegerField(blank=True, null=True)),
                ("review_ms", models.BigIntegerField(blank=True, null=True)),
                ("broker_ms", models.BigIntegerField(blank=True, null=True)),
                ("fill_ms", models.BigIntegerField(blank=True, null=True)),
                ("execution_ms", models.BigIntegerField(blank=True, null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "draft"),
                            ("blocked", "blocked"),
                            ("pending_review", "pending review"),
                            ("approved", "approved"),
                            ("rejected", "rejected"),
                            ("submitted", "submitted"),
                            ("partially_filled", "partially filled"),
                            ("executed", "executed"),
                            ("cancelled", "cancelled"),
                            ("expired", "expired"),
                            ("broker_rejected", "broker rejected"),
                        ],
                        max_length=16,
                    ),
                ),
                ("strategy", models.CharField(blank=True, max_length=64)),
                ("underlying", models.CharField(blank=True, max_length=32)),
                (
                    "environment",
                    emo_site.db.fields.EnvironmentField(default=emo_site.db.fields.current_environment, max_length=16),
                ),
                ("violations", models.CharField(blank=True, max_length=512)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("risk_score", models.SmallIntegerField(blank=True, null=True)),
                ("compliance_score", models.SmallIntegerField(blank=True, null=True)),
                ("performance_score", models.SmallIntegerField(blank=True, null=True)),
                ("fill_share", models.SmallIntegerField(blank=True, null=True)),
                ("fees", models.BigIntegerField(blank=True, null=True)),
                ("decided_value", models.BigIntegerField(blank=True, null=True)),
                ("review_delay", models.BigIntegerField(blank=True, null=True)),
                ("broker_delay", models.BigIntegerField(blank=True, null=True)),
                ("points_order_notional", models.SmallIntegerField(default=0)),
                ("points_order_quantity", models.SmallIntegerField(default=0)),
                ("points_price_collar", models.SmallIntegerField(default=0)),
                ("points_stale_quote", models.SmallIntegerField(default=0)),
                ("points_duplicate_order", models.SmallIntegerField(default=0)),
                ("points_order_rate", models.SmallIntegerField(default=0)),
                ("points_max_trade_risk", models.SmallIntegerField(default=0)),
                ("points_max_portfolio_risk", models.SmallIntegerField(default=0)),
                ("points_daily_new_risk", models.SmallIntegerField(default=0)),
                ("points_symbol_exposure", models.SmallIntegerField(default=0)),
                ("points_max_positions", models.SmallIntegerField(default=0)),
                ("points_drawdown_breaker", models.SmallIntegerField(default=0)),
                ("points_undefined_risk", models.SmallIntegerField(default=0)),
                (
                    "reviewer",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "facts of an order",
                "verbose_name_plural": "facts of orders",
                "db_table": "order_facts",
                "indexes": [models.Index(fields=["day"], name="order_facts_day")],
            },
        ),
        migrations.RunPython(make_facts, migrations.RunPython.noop),
    ]
