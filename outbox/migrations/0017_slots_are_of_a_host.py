"""Which processes deliver is said by locked files of each host. The table stays for 0.1.0, which runs beside this release
while hosts are upgraded one after the other; the release after this one drops it."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("outbox", "0016_draft_page_save"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name="CourierSlot")]),
    ]
