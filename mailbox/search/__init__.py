"""Full-text search over received mail, newest first, with the same results on SQLite (FTS5) and PostgreSQL (GIN).

Start with `results.search`. `query` parses the search text; `tokenizer` and `index_terms` make the words of mails and
queries; `index` writes them; `lookup` queries the index; `highlight` marks the words in results;
`gmail_labels` finds messages by the label that a folder shows.
"""
