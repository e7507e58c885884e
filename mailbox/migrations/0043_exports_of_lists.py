from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0042_what_hosts_tell")]

    operations = [
        migrations.AlterField(
            "export",
            "what",
            models.CharField(
                choices=[("search", "Messages"), ("person", "A person"), ("list", "A list")],
                default="search",
                max_length=6,
            ),
        ),
        migrations.AlterField(
            "export",
            "form",
            models.CharField(choices=[("zip", "zip of .eml files"), ("mbox", "mbox"), ("csv", "CSV")], max_length=4),
        ),
    ]
