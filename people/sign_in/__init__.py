"""Sign-in and sign-out: pages, limit on failed attempts (django-axes), audit of sign-ins, reauthentication."""
