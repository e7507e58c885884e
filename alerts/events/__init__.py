"""Events for programs: written in the transaction of the change they report, numbered later, posted to webhooks.

`triggers`: database triggers write the events, whichever code changes a row. `numbers`: gives events their order and
reads them in it. `webhook_delivery`: posts them. docs/api.md says what a receiver may rely on.
"""
