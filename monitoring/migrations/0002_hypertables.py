from django.db import migrations

from emo_site.db.timescale.operations import CreateHypertable


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_initial")]

    operations = [
        CreateHypertable("MarketEvent", time_column="timestamp", chunk_interval="7 days"),
        CreateHypertable("SystemHealth", time_column="timestamp", chunk_interval="7 days"),
    ]
