from django.db import migrations

from mailbox.migrations._words import set_back, set_merging


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0014_settings_lookup")]

    operations = [migrations.RunPython(set_merging, set_back)]
