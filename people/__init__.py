"""Users of this site: how they sign in, their sessions and second factors, and the pages that administer them.

Way in: `urls`. Roles are given and withdrawn here; what a role permits is decided in mailbox.permissions.

sign_in         sign-in and sign-out, the limit on failed attempts, the audit of sign-ins, reauthentication (step-up)
sessions        Django's SESSION_ENGINE with the user of each session; when a session ends; the user's own sessions
second_factor   who must have one, django-allauth's forms of it, the storage of its secrets
single_sign_on  sign-in at the company's OpenID Connect provider
directory       pages for administrators: users, roles, switching users on and off; one administrator always remains
links           links in mail: invitations, forgotten passwords, confirmation of an address

All other packages use `sign_in.audit`, `sign_in.client_address` and `sessions.own_sessions`. The models, the admin and
the checks of `manage.py check` are modules beside the packages.
"""
