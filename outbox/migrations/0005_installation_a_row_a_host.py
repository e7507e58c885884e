from typing import Any

from django.db import migrations, models


def forget_the_one_mark(apps: Any, schema_editor: Any) -> None:
    """It was of no certain host: the next start of each writes its own."""
    apps.get_model("outbox", "Installation").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("outbox", "0004_draft_refused_files")]

    operations = [
        migrations.RunPython(forget_the_one_mark, migrations.RunPython.noop, elidable=True),
        migrations.AddField("installation", "place", models.CharField(default="", max_length=64, unique=True), preserve_default=False),
    ]
