"""Tells people (by mail or webhook) what needs them, and programs (by event webhooks) what happened.

`problems` finds what needs a person, `incidents` opens and closes incidents, `notice_delivery` sends the notices;
`events` is for programs. Way in: `tasks.watch`, each minute, by a worker or by `manage.py alerts`.
"""
