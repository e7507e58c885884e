"""Fills a database with rows of any number, for figures and for a look: `manage.py seed`."""
