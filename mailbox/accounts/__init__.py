"""Accounts as people make and change them: create, forms, health, and what to do about a failure.

Way in: `create.create_account`, `forms.AccountForm`, `health.conditions`.
"""
