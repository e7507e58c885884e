"""Sessions in the database, each with its user: `store` is Django's SESSION_ENGINE, `expiry` ends old sessions."""
