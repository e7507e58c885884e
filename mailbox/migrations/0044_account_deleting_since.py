from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0043_exports_of_lists")]

    operations = [
        migrations.AddField("account", "deleting_since", models.DateTimeField(editable=False, null=True)),
    ]
