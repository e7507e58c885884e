"""Attachments know the account and the date of their mail, so that lists of them are read from an index; and what is
over is counted by the clock."""

import django.db.models.deletion
import mailbox.models.file_kinds
from django.db import migrations, models
from django.db.models import F, Q

FILL = """UPDATE outbox_attachments SET
account_id = (SELECT account_id FROM outbox WHERE outbox.id = outbox_attachments.outbox_id),
created_at = (SELECT created_at FROM outbox WHERE outbox.id = outbox_attachments.outbox_id)"""


class Migration(migrations.Migration):
    dependencies = [
        ("mailbox", "0016_attachments_by_date"),
        ("outbox", "0007_names_of_tables"),
    ]

    operations = [
        migrations.AddField(
            model_name="outboxattachment",
            name="account",
            field=models.ForeignKey(
                null=True,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="mailbox.account",
            ),
        ),
        migrations.AddField(model_name="outboxattachment", name="created_at", field=models.DateTimeField(null=True)),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="outboxattachment",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="mailbox.account",
            ),
        ),
        migrations.AlterField(model_name="outboxattachment", name="created_at", field=models.DateTimeField()),
        migrations.AddIndex(
            model_name="outboxattachment",
            index=models.Index(fields=["-created_at", "-id"], name="outbox_attachment_newest"),
        ),
        migrations.AddIndex(
            model_name="outboxattachment",
            index=models.Index(fields=["account", "-created_at", "-id"], name="outbox_attachment_account"),
        ),
        migrations.AddIndex(
            model_name="outboxattachment",
            index=models.Index(
                mailbox.models.file_kinds.KindOf("content_type"),
                F("created_at").desc(),
                F("id").desc(),
                name="outbox_attachment_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxattachment",
            index=models.Index(
                fields=["-created_at", "-id", "size"], name="outbox_attachment_large", condition=Q(size__gte=100_000)
            ),
        ),
        migrations.CreateModel(
            name="OutboxCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "queued"),
                            ("sending", "sending"),
                            ("sent", "sent"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                        ],
                        max_length=9,
                    ),
                ),
                ("number", models.BigIntegerField()),
                ("counted_at", models.DateTimeField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="mailbox.account"
                    ),
                ),
            ],
            options={
                "db_table": "outbox_counts",
                "constraints": [
                    models.UniqueConstraint(fields=("account", "status"), name="outbox_count_unique"),
                ],
            },
        ),
        # In place of two full indexes, one that also knows the order of the lists and one of the few that answer.
        migrations.AlterField(
            model_name="outboxmessage",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="outbox",
                to="mailbox.account",
            ),
        ),
        migrations.AlterField(
            model_name="outboxmessage",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="answers",
                to="mailbox.message",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(fields=["account", "-id"], name="outbox_newest_of_account"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(condition=Q(status="cancelled"), fields=["account", "-id"], name="outbox_cancelled"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(condition=Q(parent__isnull=False), fields=["parent"], name="outbox_answers"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(condition=Q(error_code__gt=""), fields=["error_code", "-id"], name="outbox_error"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(condition=Q(failure_mode__gt=""), fields=["-id"], name="outbox_drill"),
        ),
        migrations.AddIndex(
            model_name="deliveryattempt",
            index=models.Index(condition=Q(failure_mode__gt=""), fields=["outbox"], name="attempt_drill"),
        ),
    ]
