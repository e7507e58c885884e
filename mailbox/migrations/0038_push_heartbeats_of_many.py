"""Push by many processes: each has a row of its own, and leases for its accounts. The one row of before, whose key was
given by hand, goes; what listens writes its own within seconds."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def forget(apps: Any, schema_editor: Any) -> None:
    apps.get_model("mailbox", "PushHeartbeat").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0037_personal_data")]

    operations = [
        migrations.AlterField(
            "lease",
            "purpose",
            models.CharField(
                choices=[("sync", "Sync"), ("send", "Send"), ("sent", "Sent"), ("push", "Push")], max_length=4
            ),
        ),
        migrations.RunPython(forget, migrations.RunPython.noop),
    ]
