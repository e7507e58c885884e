"""Attachments know the account and the date of their mail, so that lists of them are read from an index."""

import django.db.models.deletion
import mailbox.models.file_kinds
from django.db import migrations, models
from django.db.models import F, Q

# One pass over what is there; a million attachments take some ten seconds.
FILL = """UPDATE attachments SET
account_id = (SELECT account_id FROM messages WHERE messages.id = attachments.message_id),
received_at = (SELECT received_at FROM messages WHERE messages.id = attachments.message_id)"""


class Migration(migrations.Migration):
    dependencies = [
        ("mailbox", "0015_search_index_merging"),
    ]

    operations = [
        migrations.AddField(
            model_name="attachment",
            name="account",
            field=models.ForeignKey(
                null=True,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="mailbox.account",
            ),
        ),
        migrations.AddField(model_name="attachment", name="received_at", field=models.DateTimeField(null=True)),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="attachment",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="mailbox.account",
            ),
        ),
        migrations.AlterField(model_name="attachment", name="received_at", field=models.DateTimeField()),
        migrations.AddIndex(
            model_name="attachment",
            index=models.Index(fields=["-received_at", "-id"], name="attachment_newest"),
        ),
        migrations.AddIndex(
            model_name="attachment",
            index=models.Index(fields=["account", "-received_at", "-id"], name="attachment_of_account"),
        ),
        migrations.AddIndex(
            model_name="attachment",
            index=models.Index(
                mailbox.models.file_kinds.KindOf("content_type"),
                F("received_at").desc(),
                F("id").desc(),
                name="attachment_of_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="attachment",
            index=models.Index(
                fields=["-received_at", "-id", "size"], name="attachment_large", condition=Q(size__gte=100_000)
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="mailbox.account",
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["account", "-id"], name="audit_by_account"),
        ),
    ]
