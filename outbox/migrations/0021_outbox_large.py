from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("outbox", "0020_smtputf8_index")]

    operations = [
        migrations.AddIndex(
            "outboxmessage",
            models.Index(
                condition=models.Q(("mime_size__gte", 1024 * 1024)), fields=["created_at", "id"], name="outbox_large"
            ),
        ),
    ]
