"""Events for programs: written in the transaction of what they tell of, numbered when read, posted to webhooks.

`triggers` has the database write them, whoever changes a row and however; `numbers` gives them their order and reads
them; `webhook_delivery` posts them. docs/api.md says what a receiver may rely on.
"""
