"""Notifies people (by mail or webhook) of problems that need a person, and programs (by event webhooks) of events.

`problems` finds the problems, `incidents` opens and closes incidents and writes notices, `notice_delivery` sends them;
`events` is for programs. Ways in: `tasks.watch`, every minute, by a worker or by `manage.py alerts`; and
`tasks.send_events`.
"""
