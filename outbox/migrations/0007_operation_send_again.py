from django.db import migrations, models


class Migration(migrations.Migration):
    """"Send again" for many mails at once, and one name for what does not wait."""

    dependencies = [("outbox", "0006_complaint_report")]

    operations = [
        migrations.AlterField(
            model_name="operation",
            name="verb",
            field=models.CharField(
                choices=[
                    ("retry", "Retry"),
                    ("send_now", "Send now"),
                    ("cancel", "Cancel"),
                    ("mark_as_sent", "Mark as sent"),
                    ("send_again", "Send again"),
                ],
                max_length=12,
            ),
        ),
    ]
