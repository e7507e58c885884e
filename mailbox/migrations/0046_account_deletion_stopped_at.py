from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0045_other_recipients")]

    operations = [
        migrations.AddField("account", "deletion_stopped_at", models.DateTimeField(editable=False, null=True)),
    ]
