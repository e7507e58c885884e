"""Incidents are told in the language of whoever reads them; old ones stay in English."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0011_plain_table_names"),
    ]

    operations = [
        migrations.AddField(
            model_name="alertincident",
            name="translations",
            field=models.JSONField(db_default={}, default=dict),
        ),
    ]
