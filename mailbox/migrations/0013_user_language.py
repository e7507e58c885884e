from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailbox", "0012_user_preferences"),
    ]

    operations = [
        migrations.AddField(
            model_name="userpreference",
            name="language",
            field=models.CharField(blank=True, default="", max_length=16),
        ),
    ]
