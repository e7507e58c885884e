from typing import Any

from django.core.management.color import no_style
from django.db import migrations, models


def leave_the_first_key_to_the_old_mark(apps: Any, schema_editor: Any) -> None:
    """Workers of 0.1.0 that still run know the one row by its primary key, 1, which they wrote themselves: on
    PostgreSQL the next row would get it too."""
    connection = schema_editor.connection
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [apps.get_model("outbox", "Installation")]):
            cursor.execute(statement)


class Migration(migrations.Migration):
    """The mark of 0.1.0 is of no certain place and keeps an empty one; the next start of each host writes its own."""

    dependencies = [("outbox", "0004_draft_refused_files")]

    operations = [
        migrations.AddField("installation", "place", models.CharField(db_default="", max_length=64, unique=True)),
        migrations.RunPython(leave_the_first_key_to_the_old_mark, migrations.RunPython.noop, elidable=True),
    ]
