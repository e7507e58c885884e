from django.db import migrations, models
from django.db.models import Max, OuterRef, Subquery


def fill(apps, schema_editor):
    attempts = apps.get_model("outbox", "DeliveryAttempt").objects.filter(outbox=OuterRef("pk"))
    newest = attempts.order_by().values("outbox").annotate(newest=Max("number")).values("newest")
    tried = apps.get_model("outbox", "OutboxMessage").objects.filter(attempts__isnull=False).values("pk")
    apps.get_model("outbox", "OutboxMessage").objects.filter(pk__in=tried).update(last_attempt=Subquery(newest))


class Migration(migrations.Migration):
    """The row bears the number of its newest attempt, on which every guard of an outcome is conditional."""

    dependencies = [("outbox", "0001_initial")]

    operations = [
        migrations.AddField(
            "outboxmessage", "last_attempt", models.PositiveIntegerField(default=0, db_default=0)
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
