"""The search index, which no model describes: FTS5 on SQLite, a tsvector with a GIN index on PostgreSQL."""

SQLITE = """CREATE VIRTUAL TABLE message_words USING fts5(words, tokenize = "ascii", columnsize = 0)"""

# Words out of the row: the table stays small enough to sort many hits by date, and 128 is the least that can be asked.
POSTGRESQL = """
ALTER TABLE message_search ADD COLUMN words tsvector;
ALTER TABLE message_search SET (toast_tuple_target = 128);
CREATE INDEX message_search_words ON message_search USING gin (words);
"""


def make_words(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(SQLITE)
    else:
        for statement in POSTGRESQL.strip().splitlines():
            schema_editor.execute(statement)


def drop_words(apps, schema_editor):
    # In PostgreSQL column and index go with their table.
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TABLE message_words")


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
