from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0046_account_deletion_stopped_at")]

    operations = [
        migrations.AddIndex(
            "message",
            models.Index(
                condition=models.Q(("size__gte", 1024 * 1024)), fields=["received_at", "id"], name="message_large"
            ),
        ),
    ]
