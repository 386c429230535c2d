"""Names the underlying of the orders that are there."""

from django.db import migrations

from orders.options import InvalidOptionSymbol, parse_osi


def name_underlyings(apps, schema_editor):
    """Of an option the root of its OSI symbol, of all else the symbol itself."""
    orders = apps.get_model("orders", "StagedOrder").objects.using(schema_editor.connection.alias)
    for symbol in orders.order_by().values_list("symbol", flat=True).distinct():
        try:
            underlying = parse_osi(symbol).root
        except InvalidOptionSymbol:
            underlying = symbol
        orders.filter(symbol=symbol).update(underlying=underlying)


class Migration(migrations.Migration):
    dependencies = [("orders", "0004_review_desk")]

    operations = [migrations.RunPython(name_underlyings, migrations.RunPython.noop)]
