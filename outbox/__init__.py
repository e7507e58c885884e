"""Mail going out: composed and frozen (`compose`), sent (`delivery`, `smtp`, `retry`), acted on by people (`actions`).

Way in: `outbox.api`. It stands on mailbox, which knows nothing of it. docs/delivery.md tells the whole way of a mail.
"""
