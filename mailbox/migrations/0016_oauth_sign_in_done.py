"""A sign-in that is done says so as often as it is asked: "shown" is gone."""

from django.db import migrations, models


def become_done(apps, schema_editor):
    apps.get_model("mailbox", "OAuthSignIn").objects.filter(status="shown").update(status="done")


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0015_store_misses")]

    operations = [
        migrations.RunPython(become_done, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="oauthsignin",
            name="status",
            field=models.CharField(choices=[('away', 'at the provider'), ('returned', 'waits for a worker'), ('asking', 'a worker asks the provider'), ('done', 'done'), ('failed', 'failed')], default='away', max_length=8),
        ),
    ]
