"""Who signs in: the limit on guessing, the sessions, and the pages that users and their roles are managed on.

Way in: `urls`. What a role permits is mailbox.permissions' business; here roles are only given and taken away.

sign_in         the pages to sign in and out, the limit on guessing, the audit of sign-ins, asking again (step-up)
sessions        Django's SESSION_ENGINE with the user of each session, when one ends, the own ones
second_factor   who must have one, django-allauth's forms of it, where its secrets are kept
single_sign_on  the company's OpenID Connect provider
directory       the pages of people for administrators: roles, on and off; the last administrator stays
links           invitations, forgotten passwords, the confirming of an address: by links in mail

`sign_in.audit`, `sign_in.client_address` and `sessions.own_sessions` are used by all the others. Models, admin and
`manage.py check` stand beside the packages.
"""
