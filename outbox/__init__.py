"""Outgoing mail: composing and freezing (`compose`), sending (`delivery`, `smtp`, `retry`), actions (`actions`).

Way in: `outbox.api`. It imports mailbox, which never imports outbox. docs/delivery.md describes the way of a mail.
"""
