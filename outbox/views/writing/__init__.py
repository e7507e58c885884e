"""Writing a mail: the page, its drafts, and what keeps one writing one mail."""
