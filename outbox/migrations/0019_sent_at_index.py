from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("outbox", "0018_dsn_parameters")]

    operations = [
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("sent_at__isnull", False)), fields=["account", "sent_at"], name="outbox_sent_at"
            ),
        ),
    ]
