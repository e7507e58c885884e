"""`make demo`: the whole site beside mail servers of its own, so that a person without a mail account can try it."""
