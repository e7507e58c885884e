from django.db import migrations

# Kept by FTS5 beside the index, for every connection. See search_index.MERGING, which an emptied index gets.
MERGING = {"automerge": 64, "crisismerge": 500, "hashsize": 8 * 1024 * 1024}
AS_FTS5_BEGINS = {"automerge": 4, "crisismerge": 16, "hashsize": 1024 * 1024}


def _set(schema_editor, options):
    if schema_editor.connection.vendor == "sqlite":
        for name, value in options.items():
            schema_editor.execute("INSERT INTO message_words (message_words, rank) VALUES (%s, %s)", [name, value])


def set_merging(apps, schema_editor):
    _set(schema_editor, MERGING)


def set_back(apps, schema_editor):
    _set(schema_editor, AS_FTS5_BEGINS)


class Migration(migrations.Migration):
    dependencies = [("mailbox", "0014_settings_lookup")]

    operations = [migrations.RunPython(set_merging, set_back)]
