from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0044_account_deleting_since")]

    operations = [
        migrations.AddField("message", "other_recipients", models.TextField(blank=True, editable=False, null=True)),
    ]
