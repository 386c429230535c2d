"""Filters of the order review are saved too; those that are there are of the list of orders."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0012_refused_decisions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="savedfilter",
            name="place",
            field=models.CharField(
                choices=[("queue", "list of orders"), ("review", "order review")], default="queue", max_length=8
            ),
        ),
        migrations.RemoveConstraint(model_name="savedfilter", name="saved_filters_name_once"),
        migrations.AddConstraint(
            model_name="savedfilter",
            constraint=models.UniqueConstraint(fields=("owner", "place", "name"), name="saved_filters_name_once"),
        ),
        migrations.AddConstraint(
            model_name="savedfilter",
            constraint=models.CheckConstraint(
                condition=models.Q(("place__in", ["queue", "review"])), name="saved_filters_place_known"
            ),
        ),
    ]
