"""What programs use: tokens, by which they prove for whom they work.

A token acts for one user. It never gives more than that user's roles at the time of use, and less where its scopes,
accounts, networks, rate and end say so. `tokens` makes and checks them; `views` is the page; `manage.py token` the
command. `v1` is the HTTP API, `submission` takes mail by SMTP. It may import mailbox, outbox, alerts and
`people.sign_in.client_address`.
"""
