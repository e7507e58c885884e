"""Signing in and out: pages, the limit on guessing (django-axes), the audit of sign-ins, asking again (step-up)."""
