"""The pages of people for administrators of all accounts: who there is, roles, on and off, rules of signing in."""
