from django.db import migrations

from emo_site.db.append_only import RefuseChanges


class Migration(migrations.Migration):
    dependencies = [("api", "0001_initial")]

    operations = [RefuseChanges("ApiCall")]
