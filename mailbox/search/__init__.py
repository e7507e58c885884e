"""Full-text search over received mail, by date, the same words on SQLite (FTS5) and PostgreSQL (GIN).

Way in: `results.search`. `tokenizer` makes the words of a mail and of a query; `index` writes them; `lookup` finds.
"""
