"""One mail: its page, and the clicks on it."""
