"""Real servers for the tests and the demo, each on free ports of 127.0.0.1 and in a temporary folder."""

# Of every mailbox here; long and unlike any word, so that tests/secret_guard.py can look for it.
MAILBOX_PASSWORD = "mailbox-pass-93f1c7"
