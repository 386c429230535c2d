"""Who looked, overrides, the trading state, statements of positions and fills only grow too; none is truncated."""

from django.db import migrations, models

from emo_site.db.append_only import KeepRefusingChanges, RefuseChanges


class Migration(migrations.Migration):
    dependencies = [("orders", "0006_steps_and_sums")]

    operations = [
        # Adds the refusal of TRUNCATE where the table was protected before there was one.
        KeepRefusingChanges("OrderEvent"),
        migrations.AddIndex(
            model_name="orderaccess",
            index=models.Index(fields=["actor_name", "at"], name="order_accesses_actor"),
        ),
        RefuseChanges("OrderAccess"),
        RefuseChanges("RuleOverride"),
        RefuseChanges("TradingStateChange"),
        RefuseChanges("PositionSnapshot"),
        RefuseChanges("ExecutedOrder"),
    ]
