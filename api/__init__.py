"""Access for programs: the HTTP API (`v1`), SMTP submission (`submission`), and the tokens that authorise both.

A token acts for one user. It never allows more than that user's roles at the time of use; its scopes, accounts,
networks, rate and expiry may allow less. `tokens` makes and checks them; `views` is their page, `manage.py token` their
command. This package may import mailbox, outbox, alerts and `people.sign_in.client_address`.
"""
