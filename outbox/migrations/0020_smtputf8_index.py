from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("outbox", "0019_sent_at_index")]

    operations = [
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("needs_smtputf8", True)), fields=["account", "-id"], name="outbox_smtputf8"
            ),
        ),
    ]
