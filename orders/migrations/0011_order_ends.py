"""Bid and ask at an order's arrival, and the price at its end; and what reports add up of them.

Orders that are there keep none of these: nobody looked then.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0010_order_facts")]

    operations = [
        migrations.AddField(
            model_name="stagedorder",
            name="arrival_bid",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="arrival_ask",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True),
        ),
        migrations.AddField(
            model_name="stagedorder",
            name="end_price",
            field=models.DecimalField(blank=True, decimal_places=6, max_digits=18, null=True),
        ),
        migrations.AddField(
            model_name="orderfacts",
            name="spread_slippage",
            field=models.IntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="orderfacts",
            name="opportunity",
            field=models.BigIntegerField(blank=True, null=True),
        ),
    ]
