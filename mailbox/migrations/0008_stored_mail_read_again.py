import mailbox.models.messages

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


def with_default(default: object) -> migrations.AddField:
    kept = {} if default is None else {"default": default}
    field = models.PositiveSmallIntegerField(null=True, editable=False, **kept)
    return migrations.AddField(model_name="message", name="parser_version", field=field)


class Migration(migrations.Migration):
    dependencies = [
        ("mailbox", "0007_sync_truth"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Reparse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("everything", models.BooleanField(default=False)),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("moved_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("after_pk", models.BigIntegerField(default=0)),
                ("total", models.PositiveBigIntegerField(default=0)),
                ("done", models.PositiveBigIntegerField(default=0)),
                ("changed", models.PositiveBigIntegerField(default=0)),
                ("lost", models.PositiveBigIntegerField(default=0)),
                ("failed", models.PositiveBigIntegerField(default=0)),
                (
                    "account",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="mailbox.account",
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"db_table": "reparses", "ordering": ["-pk"]},
        ),
        # What is stored was read by an unknown parser: NULL. A default here would write it into every row, and on
        # SQLite copy the whole table.
        migrations.SeparateDatabaseAndState(
            database_operations=[with_default(None)],
            state_operations=[with_default(mailbox.models.messages.present_parser)],
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(fields=["parser_version", "id"], name="message_parsed_by"),
        ),
    ]
