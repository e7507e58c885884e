"""An index of the deliveries that were given up: few among a week's, and asked for each minute."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0012_incident_translations"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("state", "failed")), fields=["webhook", "id"], name="webhook_delivery_failed"
            ),
        ),
    ]
