"""Writing a mail: the page, its drafts, saved replies, and the check that one page makes one mail."""
