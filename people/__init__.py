"""Who signs in: the limit on guessing, the sessions, and the pages that users and their roles are managed on.

Way in: `urls`. `sessions` is Django's SESSION_ENGINE, `client_address` what django-axes counts failures by. What a role
permits is mailbox.permissions' business; here roles are only given and taken away.
"""
