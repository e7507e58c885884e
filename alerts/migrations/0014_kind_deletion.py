from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0013_index_of_refused_deliveries"),
    ]

    operations = [
        migrations.AlterField(
            model_name="alertincident",
            name="kind",
            field=models.CharField(
                choices=[
                    ("workers", "No worker runs"),
                    ("host", "A host's workers are gone"),
                    ("schedules", "Nothing runs by the clock"),
                    ("push", "Push is not running"),
                    ("store", "A host cannot read or write stored mail"),
                    ("broker", "The broker is out of reach"),
                    ("disk", "A disk is nearly full"),
                    ("restore", "No restore was proven lately, or one failed"),
                    ("paused", "All sending is paused"),
                    ("sending", "An SMTP server takes no mail"),
                    ("late", "Mail that is due does not go out"),
                    ("sign_in", "A server refuses the sign-in"),
                    ("uncertain", "A mail may or may not have gone out"),
                    ("failed", "A mail failed for good"),
                    ("bounce", "A mail came back"),
                    ("complaint", "A recipient calls a mail unwanted"),
                    ("stopped", "A folder is stopped"),
                    ("deletion", "The deletion of an account was stopped"),
                    ("ending", "A grant, secret, certificate or key ends soon"),
                    ("behind", "A folder is behind or cannot be fetched"),
                    ("incomplete", "Stored mail differs from the server's"),
                    ("quarantine", "A message could not be fetched or read"),
                    ("events", "Programs are not told what happens"),
                    ("alert_mail", "An alert could not be mailed (told by webhook only)"),
                ],
                max_length=10,
            ),
        ),
    ]
