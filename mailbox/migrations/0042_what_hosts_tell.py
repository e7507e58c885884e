from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0041_index_what_is_gone")]

    operations = [
        migrations.CreateModel(
            name="DatabaseFailure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("host", models.CharField(max_length=200)),
                ("kind", models.CharField(max_length=12)),
                ("number", models.BigIntegerField(default=0)),
                ("last_at", models.DateTimeField()),
            ],
            options={
                "db_table": "database_failures",
                "constraints": [models.UniqueConstraint(fields=("host", "kind"), name="database_failure_unique")],
            },
        ),
        migrations.AddField("workerheartbeat", "store_disk_free_percent", models.PositiveSmallIntegerField(null=True)),
        migrations.AddField("workerheartbeat", "database_seconds", models.FloatField(null=True)),
    ]
